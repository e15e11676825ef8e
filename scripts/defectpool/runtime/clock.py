"""Time left, for logs."""


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: 3725 seconds are 1:02:05."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
