"""The one exception that reaches a user as a sentence."""


class UserError(Exception):
    """Something the user can put right: the message says both sides and the way out.

    The command line prints it without a traceback and exits with code 2. Anything else that
    reaches the command line is a bug and keeps its traceback.
    """
