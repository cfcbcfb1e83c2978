"""From a stored sample to model-ready samples, in one fixed order.

decode and stored layout → resize → crop → colour → cast, scale → mean, std → reshape → window → dtype.
The layout comes first, so that every later step sees height, width, channel whatever the file holds.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgec.data.images import center_crop, convert_color, crop_box, resize_image
from edgec.data.manifest import InputSource, Preprocess, Window
from edgec.errors import DataError

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Preprocessor:
    """Applies one input's `Preprocess` steps.

    `gray_images` asks for one channel where the manifest names no colour and the model takes a single channel.
    """

    source: InputSource
    is_image: bool
    gray_images: bool

    def apply(self, stored: Array, where: str) -> list[Array]:
        """The model-ready samples made of one stored sample: one, or one a window.

        Raises:
            DataError: a step does not fit the sample's shape or its values.
        """
        steps = self.source.preprocess
        sample = _arranged(self.source, stored, self.is_image, where)
        if self.is_image or steps.has_image_step:
            sample = self._apply_image_steps(sample, where)
        sample = _normalized(sample, steps, where)
        if steps.reshape is not None:
            sample = _reshaped(sample, steps.reshape, "reshape", where)
        samples = _windows(sample, steps.window, where) if steps.window is not None else [sample]
        return [_cast(one, steps.dtype, where) if steps.dtype is not None else one for one in samples]

    def _apply_image_steps(self, sample: Array, where: str) -> Array:
        steps = self.source.preprocess
        image = sample[:, :, None] if sample.ndim == 2 else sample
        if steps.resize is not None:
            image = resize_image(image, steps.resize, steps.resize_filter, where)
        if steps.crop is not None:
            image = center_crop(image, steps.crop, where)
        if steps.crop_box is not None:
            image = crop_box(image, steps.crop_box, where)
        color = steps.color or ("gray" if self.is_image and self.gray_images else None)
        return image if color is None else convert_color(image, color, where)


def _arranged(source: InputSource, stored: Array, is_image: bool, where: str) -> Array:
    """The stored sample as height, width, channel where its layout is named or a step needs to know it."""
    if is_image:
        return stored
    sample = stored if source.stored_shape is None else _reshaped(stored, source.stored_shape, "stored_shape", where)
    image_steps = source.preprocess.has_image_step
    if source.layout == "auto" and not image_steps:
        return sample
    if sample.ndim == 4 and sample.shape[0] == 1:
        sample = sample[0]
    if image_steps and sample.ndim not in (2, 3):
        raise DataError(
            f"preparing {where}: resize, crop and color need a sample of shape (height, width, channel), "
            f"found {sample.shape}; give stored_shape or leave these steps out"
        )
    if source.layout == "chw":
        return np.moveaxis(sample, 0, -1) if sample.ndim >= 3 else sample
    if source.layout == "auto" and sample.ndim == 3 and sample.shape[2] > 4 and sample.shape[0] <= 4:
        raise DataError(
            f"preparing {where}: a sample of shape {sample.shape} looks like channels first; "
            'say layout = "chw" or layout = "hwc" in the manifest'
        )
    return sample


def _normalized(sample: Array, steps: Preprocess, where: str) -> Array:
    if not steps.sets_range:
        return sample
    real: Array = sample.astype(np.float32)
    if steps.scale is not None:
        real = real * np.float32(steps.scale)
    if steps.mean is not None:
        real = real - _per_channel(steps.mean, real, "mean", where)
    if steps.std is not None:
        real = real / _per_channel(steps.std, real, "std", where)
    return real


def _per_channel(value: float | tuple[float, ...], sample: Array, key: str, where: str) -> Array:
    factors = np.asarray(value, dtype=np.float32)
    if factors.ndim == 1 and factors.size != 1 and (sample.ndim == 0 or sample.shape[-1] != factors.size):
        raise DataError(
            f"preparing {where}: {key} has {factors.size} values, but the last axis of a sample of shape "
            f"{sample.shape} is its channel; give one value, or one per channel, "
            'or say layout = "chw" where channels come first'
        )
    return factors


def _reshaped(sample: Array, shape: tuple[int, ...], key: str, where: str) -> Array:
    if sample.size != int(np.prod(shape)):
        raise DataError(
            f"preparing {where}: {key} {list(shape)} asks for {int(np.prod(shape))} values, "
            f"a sample of shape {sample.shape} has {sample.size}"
        )
    return sample.reshape(shape)


def _windows(sample: Array, window: Window, where: str) -> list[Array]:
    frames = sample.shape[0] if sample.ndim else 0
    if frames < window.length:
        raise DataError(
            f"preparing {where}: window.length is {window.length} frames, a sample of shape {sample.shape} has {frames}"
        )
    starts = range(0, frames - window.length + 1, window.hop)
    cuts = [sample[start : start + window.length] for start in starts]
    return [cut.reshape(-1) for cut in cuts] if window.flatten else cuts


def _cast(sample: Array, dtype: str, where: str) -> Array:
    """Cast; to an integer type by rounding half to even, refusing what the type cannot hold."""
    if dtype == "float32":
        return sample.astype(np.float32)
    limits = np.iinfo(dtype)
    if sample.dtype.kind == "f" and not np.isfinite(sample).all():
        raise DataError(f"preparing {where}: NaN or infinite values cannot be cast to {dtype}")
    whole = np.rint(sample) if sample.dtype.kind == "f" else sample
    if whole.size and (int(whole.min()) < limits.min or int(whole.max()) > limits.max):
        raise DataError(
            f"preparing {where}: values from {sample.min()} to {sample.max()} do not fit dtype {dtype} "
            f"({limits.min} to {limits.max}); change scale, mean and std, or the dtype"
        )
    return whole.astype(dtype)
