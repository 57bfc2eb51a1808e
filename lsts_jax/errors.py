"""The one exception that means "the user can mend this": scripts print it as a line and exit with 2."""


class UserError(Exception):
    """A mistake in what was asked for; the message names the file, field or frame, and the mend."""
