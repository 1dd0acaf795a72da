"""Where recordings come from: one row per source, read from `sources.yaml` and a file of your own.

A row says what is known of a source and from where. What is not known is null, which is never read
as a "yes": a source without `deid_by_provider` is not taken for de-identified, one without a
licence not for free. `docs/sources.md` explains every field.

Specialties are the twelve of arXiv 2602.05638 (UniSurg) and `other`. The paper counts 13 anatomical
regions without naming them; those below are ours.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

SOURCES = Path(__file__).with_name("sources.yaml")

Specialty = Literal[
    "neurosurgery",
    "general_surgery",
    "ophthalmology",
    "gastric",
    "cholecystectomy",
    "colonoscopy",
    "gynaecology",
    "urology",
    "liver",
    "skills_training",
    "bronchoscopy",
    "breast",
    "other",
]
Region = Literal[
    "brain",
    "skull_base",  # pituitary, through the nose
    "eye",
    "airway",
    "breast",
    "stomach",  # and oesophagus
    "gallbladder",
    "liver",
    "colon",
    "female_pelvis",
    "urinary_tract",  # and prostate
    "limb",  # joints and skin
    "bench",  # no patient: a model to train on
    "several",
]
Access = Literal["open", "request", "private", "unknown"]

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class SourcesError(ValueError):
    """A file of sources cannot be used; the message names the file, row, field and remedy."""


def _in_picture(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x, y, w, h = box
    if not (w > 0 and h > 0 and x + w <= 1 and y + h <= 1):
        raise ValueError("the rectangle is empty or leaves the picture")
    return box


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression ({error})") from None
    return text


Rectangle = Annotated[tuple[Share, Share, Share, Share], AfterValidator(_in_picture)]
"""x, y of the upper left corner, width, height: shares of the picture's width and height."""
Holding = Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+/(train|val|test)$")]
"""`dataset/split/part` of a benchmark."""


class Row(BaseModel):
    """A row of a file of facts. Descriptions of fields are the remedies that errors name."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Row):
    """One source of recordings; what may be null must be written, so that nothing is forgotten."""

    id: str = Field(description="the row's name: letters, digits and -", pattern=r"^[a-z0-9-]+$")
    title: str = Field(description="the name by which people know it", min_length=1)
    dataset: str = Field(description="its name in overlaps.yaml, or leave it out: the id")
    specialty: Specialty | None = Field(
        description=f"one of {', '.join(get_args(Specialty))}; null"
    )
    region: Region | None = Field(description=f"one of {', '.join(get_args(Region))}; null")
    licence: str | None = Field(description="the licence in words, or null where it is not known")
    access: Access = Field(description=f"one of {', '.join(get_args(Access))}")
    videos: Annotated[int, Field(gt=0)] | None = Field(description="a count of files, or null")
    hours: Positive | None = Field(description="hours of video above 0, or null")
    size_from: str = Field("", description="who counted the videos or hours")
    keep_fps: Positive | None = Field(
        None, description="frames a second to keep, or leave it out: curate.fps"
    )
    picture_fps: Positive | None = Field(
        None, description="where it comes as pictures: how many of them are a second of time"
    )
    deid_by_provider: str | None = Field(
        description="who removed what tells persons, or null: then a detector must run"
    )
    names: tuple[Annotated[str, AfterValidator(_expression)], ...] = Field(
        (), description="a list of regular expressions of its recordings' names, without suffix"
    )
    overlays: tuple[Rectangle, ...] = Field(
        (), description="a list of [x, y, w, h], shares of the picture, that are painted over"
    )
    holds: tuple[Holding, ...] = Field(
        (), description="a list of dataset/split/part, as cholec80/official/test"
    )
    rendered: bool = Field(
        False, description="true for the embedded data alone, in which nobody was filmed"
    )
    in_paper: bool = Field(False, description="true or false: is it one of the paper's sources")
    replaces: bool = Field(
        False, description="true in a file of your own, to put the row in the place of ours"
    )
    reference: str = Field(description="a citation or address", min_length=1)
    checked: date = Field(description="the day it was last held against the reference, 2026-11-26")
    note: str = Field("", description="what else should be known, in words")

    @model_validator(mode="before")
    @classmethod
    def _own_dataset(cls, content: Any) -> Any:
        return {"dataset": content.get("id"), **content} if isinstance(content, dict) else content

    @model_validator(mode="after")
    def _size_has_a_source(self) -> Source:
        if (self.videos or self.hours) and not self.size_from:
            raise ValueError("field 'size_from' is empty: say who counted the videos or hours")
        return self

    def is_named(self, recording: str) -> bool:
        """Whether a recording, a name without suffix, is called as those of the source are; so is
        any where nobody knows how they are called."""
        return not self.names or any(re.fullmatch(name, recording) for name in self.names)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of the fields of which nothing is known."""
        asked = ("specialty", "region", "licence", "videos", "hours", "deid_by_provider")
        absent = [field for field in asked if getattr(self, field) is None]
        return tuple(absent + ["access"] * (self.access == "unknown"))


class Paper(Row):
    """What the paper claims of its own corpus."""

    sources: int = Field(description="how many sources it claims", gt=0)
    hours: Positive = Field(description="how many hours it claims")
    reference: str = Field(description="a citation", min_length=1)


def load(path: Path | None = None, extra: Path | None = None) -> dict[str, Source]:
    """Every source by its id, in the order of the files.

    Args:
        path: the file to read instead of the one in the package.
        extra: a file of your own with more rows. A row with the id of another must say
            `replaces: true`, and then stands in its place, whole.

    Raises:
        SourcesError: for everything wrong in a file, at once.
    """
    found = _rows(path or SOURCES)
    for name, source in (_rows(extra) if extra else {}).items():
        if (name in found) != source.replaces:
            problem = "there is such a source" if name in found else "there is no such source"
            remedy = "choose another name, or write `replaces: true`"
            raise SourcesError(
                f"{extra}: row {name!r}, field 'replaces': {problem}; "
                f"{remedy if name in found else 'remove the field'}"
            )
        found[name] = source
    return found


def load_paper(path: Path | None = None) -> Paper:
    """The paper's claim, to hold the established sources against.

    Raises:
        SourcesError: the file does not say it.
    """
    path = path or SOURCES
    content = read_document(path, ("paper", "sources"), SourcesError).get("paper")
    return read_row(Paper, content, f"{path}: row 'paper'", SourcesError)


def _rows(path: Path) -> dict[str, Source]:
    rows = read_document(path, ("paper", "sources"), SourcesError).get("sources")
    if not isinstance(rows, dict) or not rows:
        raise SourcesError(f"{path}: field 'sources': holds no rows; write one per source, by id")
    found: dict[str, Source] = {}
    complaints: list[str] = []
    for name, content in rows.items():
        try:
            row = {"id": name, **content} if isinstance(content, dict) else content
            found[name] = read_row(Source, row, f"{path}: row {name!r}", SourcesError)
        except SourcesError as error:
            complaints.append(str(error))
    if complaints:
        raise SourcesError("\n".join(complaints))
    return found


# ------------------------------------------------------------------ files of facts, row by row

R = TypeVar("R", bound=Row)


class _Loader(yaml.SafeLoader):
    """YAML without its silence on keys that are written twice, of which the last one would win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if keys.count(key.value) > 1:
                raise yaml.MarkedYAMLError(
                    None, None, f"{key.value!r} is there twice", key.start_mark
                )
        return super().construct_mapping(node, deep)


def read_document(
    path: Path, sections: tuple[str, ...], failure: type[ValueError]
) -> Mapping[str, Any]:
    """The sections of a YAML file, each of which may be absent.

    Raises:
        failure: no such file, no YAML, a key twice, or a section of another name.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise failure(f"{path}: cannot be read ({error.strerror}); name a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise failure(f"{path}: is no YAML; mend it:\n{error}") from None
    if not isinstance(content, dict):
        raise failure(f"{path}: has no sections; they are {', '.join(sections)}")
    for name in content:
        if name not in sections:
            raise failure(f"{path}: field {name!r} is unknown; sections are {', '.join(sections)}")
    return content


def read_row(model: type[R], content: Any, where: str, failure: type[ValueError]) -> R:
    """The checked row.

    Args:
        where: file and row, for the message.

    Raises:
        failure: with a line for every field that is wrong.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_complaint(model, fault) for fault in error.errors()]
        raise failure("\n".join(f"{where}{line}" for line in lines)) from None


def _complaint(model: type[Row], fault: Any) -> str:
    problem = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:
        return f": {problem}" if fault["type"] == "value_error" else ": is no row of fields"
    name = str(fault["loc"][0])
    field = model.model_fields.get(name)
    if field is None:
        return f", field {name!r}: is unknown; fields are {', '.join(model.model_fields)}"
    problem = "is missing" if fault["type"] == "missing" else f"{fault['input']!r}: {problem}"
    return f", field {name!r}: {problem}; write {field.description}"
