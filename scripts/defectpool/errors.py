"""The one exception that a user is meant to read."""


class DefectpoolError(Exception):
    """Something that the user can mend: the message names it and says how."""
