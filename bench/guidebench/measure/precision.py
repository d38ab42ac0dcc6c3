"""What torch may round on a GPU to be faster, and may not here."""

import torch


def keep_precision() -> None:
    """For this process: fp32 is IEEE fp32, and sums of fp16 and bf16 products are kept in fp32.

    By default torch rounds the inputs of fp32 convolutions to TF32's 10 bits.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
