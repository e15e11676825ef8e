"""From stored predictions to figures: statistics, tables, plots and the pages of the report."""
