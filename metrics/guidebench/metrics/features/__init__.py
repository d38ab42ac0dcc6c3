"""Networks that turn images into features; the part of the metrics that needs torch."""

from guidebench.metrics.features.catalog import known_extractor as known_extractor
from guidebench.metrics.features.catalog import load_extractor as load_extractor
from guidebench.metrics.features.digits import FEATURE_DIM as FEATURE_DIM
from guidebench.metrics.features.digits import DigitClassifier as DigitClassifier
from guidebench.metrics.features.digits import DigitFeatures as DigitFeatures
from guidebench.metrics.features.digits import images_to_input as images_to_input
from guidebench.metrics.features.extractor import Extractor as Extractor
