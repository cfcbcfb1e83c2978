"""The manifest: a TOML file that says which samples to take, how to prepare them, and how to score them.

`docs/calibration-data.md` describes every key; the `description` of each field below is also what an error message
shows as allowed.
"""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgec.data.manifest_errors import manifest_sentence
from edgec.errors import DataError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Metric = Literal["top1", "top5", "auc", "mean_error", "reconstruction_auc"]
ResizeFilter = Literal["nearest", "bilinear", "bicubic", "area"]
Color = Literal["rgb", "bgr", "gray"]
SampleLayout = Literal["auto", "hwc", "chw"]
SampleDtype = Literal["float32", "uint8", "int8", "int16", "int32", "int64"]
ImageEncoding = Literal["jpeg", "png", "bmp"]

_Lax = Field(strict=False)  # TOML has lists only; a tuple field has to take one
Positive = Annotated[int, Field(ge=1)]
Size = Annotated[tuple[Positive, Positive], _Lax]
Shape = Annotated[tuple[Positive, ...], _Lax, Field(min_length=1)]
PerChannel = Annotated[tuple[float, ...], _Lax, Field(min_length=1)]
PositivePerChannel = Annotated[tuple[Annotated[float, Field(gt=0)], ...], _Lax, Field(min_length=1)]


def _one_of(choices: Any) -> str:
    return "one of " + ", ".join(f'"{choice}"' for choice in get_args(choices))


class _Table(BaseModel):
    """A TOML table: unknown keys are refused, values are not coerced, and nothing changes after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True)


class Window(_Table):
    """Sliding windows along a sample's first axis; each window is one model input."""

    length: Positive = Field(description="frames in one window, a whole number from 1")
    hop: Positive = Field(default=1, description="frames from one window to the next, a whole number from 1")
    flatten: bool = Field(default=True, description="true (a window becomes one vector) or false")


class Preprocess(_Table):
    """Steps from a stored sample to a model input, always applied in the order of these fields."""

    resize: Positive | Size | None = Field(
        default=None, description="the short side in pixels, a whole number from 1, or [height, width]"
    )
    resize_filter: ResizeFilter = Field(default="bilinear", description=_one_of(ResizeFilter))
    crop: Positive | Size | None = Field(
        default=None, description="the side of a centred square in pixels, a whole number from 1, or [height, width]"
    )
    crop_box: Annotated[tuple[int, int, int, int], _Lax] | None = Field(
        default=None, description="[top, left, height, width] in pixels"
    )
    color: Color | None = Field(default=None, description=_one_of(Color))
    scale: float | None = Field(default=None, description="a finite number that multiplies every value")
    mean: float | PerChannel | None = Field(
        default=None, description="a finite number, or a list of one number per channel, in the units after `scale`"
    )
    std: Annotated[float, Field(gt=0)] | PositivePerChannel | None = Field(
        default=None, description="a number above 0, or a list of one such number per channel"
    )
    reshape: Shape | None = Field(default=None, description="a list of whole numbers from 1")
    window: Window | None = Field(default=None, description="a table with length, hop and flatten")
    dtype: SampleDtype | None = Field(default=None, description=_one_of(SampleDtype))

    @model_validator(mode="after")
    def _one_crop(self) -> "Preprocess":
        if self.crop is not None and self.crop_box is not None:
            raise ValueError("crop and crop_box cannot both be given")
        if self.crop_box is not None and (min(self.crop_box[:2]) < 0 or min(self.crop_box[2:]) < 1):
            raise ValueError(
                f"crop_box is {list(self.crop_box)}, top and left must be at least 0, height and width at least 1"
            )
        return self

    @property
    def has_image_step(self) -> bool:
        """Whether a step needs to know which axes are height, width and channel."""
        steps = (self.resize, self.crop, self.crop_box, self.color)
        return any(step is not None for step in steps)

    @property
    def sets_range(self) -> bool:
        """Whether the manifest says anything about the range of values (`scale = 1.0` says "as they are")."""
        return any(step is not None for step in (self.scale, self.mean, self.std))


class InputSource(_Table):
    """Where the samples of one model input are stored, and how they become that input."""

    path: str = Field(min_length=1, description="a .npz or .npy file or a folder of images, relative to the manifest")
    array: str | None = Field(default=None, description="the name of an array in the .npz file")
    glob: str | None = Field(default=None, min_length=1, description='a pattern inside the folder, like "**/*.png"')
    encoding: ImageEncoding | None = Field(default=None, description=_one_of(ImageEncoding))
    bytes_array: str = Field(
        default="jpeg",
        validation_alias=AliasChoices("bytes"),
        description="the name of the uint8 array that holds all encoded images joined",
    )
    offsets: str = Field(default="offsets", description="the name of the array of n + 1 image borders in `bytes`")
    layout: SampleLayout = Field(default="auto", description=_one_of(SampleLayout))
    stored_shape: Shape | None = Field(default=None, description="a list of whole numbers from 1")
    preprocess: Preprocess = Field(default=Preprocess(), description="a table of preprocessing steps")

    @model_validator(mode="after")
    def _one_kind(self) -> "InputSource":
        if self.encoding is not None and (self.array is not None or self.glob is not None):
            raise ValueError("encoding (packed images) cannot be combined with array or glob")
        packed_keys = {"bytes_array", "offsets"} & self.model_fields_set
        if self.encoding is None and packed_keys:
            raise ValueError(f"bytes and offsets need encoding, {_one_of(ImageEncoding)}")
        return self


class Selection(_Table):
    """Which of the stored samples to take: shuffle, then start, stride and count; or an explicit list."""

    count: Positive | None = Field(default=None, description="a whole number from 1")
    start: Annotated[int, Field(ge=0)] = Field(default=0, description="a whole number from 0")
    stride: Positive = Field(default=1, description="a whole number from 1")
    shuffle_seed: int | None = Field(default=None, description="a whole number")
    indices: Annotated[tuple[Annotated[int, Field(ge=0)], ...], _Lax, Field(min_length=1)] | None = Field(
        default=None, description="a list of whole numbers from 0"
    )

    @model_validator(mode="after")
    def _list_alone(self) -> "Selection":
        others = sorted(self.model_fields_set - {"indices"})
        if self.indices is not None and others:
            raise ValueError(f"indices cannot be combined with {', '.join(others)}")
        return self


class LabelSource(_Table):
    """Where the labels (or target values) are: an array, a column of a CSV file, or the folder names."""

    array: str | None = Field(default=None, description="the name of an array in the .npz file")
    path: str | None = Field(default=None, min_length=1, description="a .npz or .npy file, relative to the manifest")
    csv: str | None = Field(default=None, min_length=1, description="a CSV file, relative to the manifest")
    column: str = Field(default="label", description="the name of the CSV column that holds the label")
    file_column: str | None = Field(default=None, description="the name of the CSV column that holds the file name")
    folders: bool = Field(default=False, description="true (the parent folder's name is the label) or false")
    offset: int = Field(default=0, description="a whole number, added to each label to get the output's index")
    classes: Annotated[tuple[str, ...], _Lax, Field(min_length=1)] | None = Field(
        default=None, description="a list of class names in the order of the model's outputs"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "LabelSource":
        kinds = [self.array is not None or self.path is not None, self.csv is not None, self.folders]
        if sum(kinds) != 1:
            raise ValueError("exactly one of array (or path), csv and folders = true must be given")
        if self.csv is None and {"column", "file_column"} & self.model_fields_set:
            raise ValueError("column and file_column need csv")
        return self


class Manifest(_Table):
    """A sample set as written in a TOML file."""

    description: str = Field(default="", description="a text")
    metric: Metric | None = Field(default=None, description=_one_of(Metric))
    output: Annotated[int, Field(ge=0)] = Field(default=0, description="the position of the scored output, from 0")
    positive_class: Annotated[int, Field(ge=0)] = Field(default=1, description="a whole number from 0")
    input: InputSource | None = Field(default=None, description="a table with at least path")
    inputs: dict[str, InputSource] | None = Field(
        default=None, min_length=1, description="one table for each model input, [inputs.NAME]"
    )
    select: Selection = Field(default=Selection(), description="a table of count, start, stride, shuffle_seed, indices")
    labels: LabelSource | None = Field(default=None, description="a table with array, csv or folders")

    @model_validator(mode="after")
    def _complete(self) -> "Manifest":
        if (self.input is None) == (self.inputs is None):
            raise ValueError("exactly one of [input] and [inputs.NAME] tables must be given")
        if self.metric is not None and self.labels is None:
            raise ValueError(f'metric "{self.metric}" needs a [labels] table')
        if self.inputs is not None and len(self.inputs) > 1:
            windowed = [name for name, source in self.inputs.items() if source.preprocess.window is not None]
            if windowed:
                raise ValueError(f"window (inputs.{windowed[0]}) works for models with one input only")
        return self


def load_manifest(path: str | Path) -> Manifest:
    """Read and validate a manifest.

    Raises:
        DataError: the file is missing, is not TOML, or breaks the schema; every faulty key is named at once.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
    except OSError as error:
        raise DataError(f"reading manifest '{path}': {error.strerror or error}; give a TOML file's path") from error
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, no UTF-8, numbers without end, deep nesting
        raise DataError(f"reading manifest '{path}': it is not valid TOML: {error}") from error
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        raise DataError(manifest_sentence(path, Manifest, data, error)) from error
