"""Records in, words and pictures out. Never imports torch."""

from guidebench.reports.record import Record as Record
from guidebench.reports.record import RecordError as RecordError
