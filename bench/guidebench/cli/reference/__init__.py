"""Actions of `guidebench reference`, one module each."""
