"""Actions of `guidebench checkpoint`, one module each."""
