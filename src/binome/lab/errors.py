"""What can go wrong with a lab."""


class LabError(Exception):
    """The lab cannot do that; the message says what, where and what to do. What existed stays as it was."""


class LabTimeoutError(LabError):
    """The lab waited for something as long as it was told to, and it did not happen."""
