"""Image files, archives and arrays as one stream of uint8 colour images, in a fixed order."""

from guidebench.metrics.images.decode import decode as decode
from guidebench.metrics.images.loader import Batch as Batch
from guidebench.metrics.images.loader import batches as batches
from guidebench.metrics.images.loader import fitting_batch as fitting_batch
from guidebench.metrics.images.sources import ImageSource as ImageSource
from guidebench.metrics.images.sources import open_images as open_images
from guidebench.metrics.images.tensors import TensorSource as TensorSource
