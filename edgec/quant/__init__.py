"""Post-training quantization: calibrate, plan, apply. `quantize_module` does all three."""

from edgec.quant.options import QuantOptions
from edgec.quant.quantize import QuantResult, carries_all_ranges, quantize_module, scheme_of_pairs

__all__ = ["QuantOptions", "QuantResult", "carries_all_ranges", "quantize_module", "scheme_of_pairs"]
