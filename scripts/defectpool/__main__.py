"""`python -m defectpool`, the same as the command `defectpool`."""

from defectpool.scan.command_line import main

main(prog_name="defectpool")
