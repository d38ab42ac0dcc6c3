"""Denoiser networks: the EDM2 U-Net and the 2D MLP, written from the papers."""

from guidebench.networks.fractal import FractalDenoiser as FractalDenoiser
from guidebench.networks.precondition import EDM2Denoiser as EDM2Denoiser
from guidebench.networks.registry import Denoiser as Denoiser
from guidebench.networks.registry import build_denoiser as build_denoiser
