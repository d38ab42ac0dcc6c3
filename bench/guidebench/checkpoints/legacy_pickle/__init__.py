"""Published pickles as data. The only place that knows their format; it runs none of their code.

`runs.conversion` (behind `checkpoint convert`, `checkpoint fetch` and `reference import`) and
`checkpoint inspect` are its only users; everything else reads safetensors. How it works and what
it refuses: docs/reading_pickles.md.
"""

from guidebench.checkpoints.legacy_pickle.files import inspect_pickle as inspect_pickle
from guidebench.checkpoints.legacy_pickle.files import read_network as read_network
from guidebench.checkpoints.legacy_pickle.files import read_reference as read_reference
from guidebench.checkpoints.legacy_pickle.references import PickledReference as PickledReference
from guidebench.checkpoints.legacy_pickle.references import PickledStatistics as PickledStatistics
from guidebench.checkpoints.legacy_pickle.writing import written_reference as written_reference
