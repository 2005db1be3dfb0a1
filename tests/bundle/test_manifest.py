from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from saccade.bundle.manifest import MEMBERS, Manifest, read_manifest
from saccade.errors import BundleError

POINT = {
    "measure": "recall",
    "class_name": "light",
    "target": 0.9,
    "threshold": 0.4,
    "promised": 0.91,
}
REFUSED = {
    "pictures": "gradients",
    "num_images": 30,
    "rate": {"value": 0.9, "low": 0.8, "high": 0.95},
}


def changed(manifest: Manifest, **fields: Any) -> bytes:
    return json.dumps(manifest.to_json() | fields).encode()


def test_manifest_reads_back_equal(manifest: Manifest) -> None:
    assert read_manifest(json.dumps(manifest.to_json()).encode()) == manifest


def test_labels_of_point_and_weights_read_back_and_need_a_newer_reader(manifest: Manifest) -> None:
    probabilities = np.array([[0.55, 0.45], [0.7, 0.3]], np.float32)
    assert (manifest.format_version, manifest.predicted(probabilities).tolist()) == (1, [0, 0])
    for fields in ({"operating_point": POINT}, {"class_weights": [1.0, 1.5]}):
        read = read_manifest(changed(manifest, **fields))
        assert read_manifest(json.dumps(read.to_json()).encode()) == read
        assert read.format_version == 2
        assert read.predicted(probabilities).tolist() == [1, 0]


def test_unusualness_needs_a_newer_reader(manifest: Manifest) -> None:
    read = read_manifest(changed(manifest, unknown_rate=0.05, class_weights=[1.0, 1.5]))
    assert (read.unknown_rate, read.format_version) == (0.05, 3)
    assert read_manifest(json.dumps(read.to_json()).encode()) == read


def test_refused_reads_back_for_any_reader(manifest: Manifest) -> None:
    read = read_manifest(changed(manifest, refused=[REFUSED]))
    assert (read.refused[0].pictures, read.refused[0].rate.low) == ("gradients", 0.8)
    assert read.format_version == manifest.format_version
    assert read_manifest(json.dumps(read.to_json()).encode()) == read


@pytest.mark.parametrize("field", ["name", "classes", "preprocessing", "evaluation", "digests"])
def test_field_is_missing(manifest: Manifest, field: str) -> None:
    document = manifest.to_json()
    del document[field]
    with pytest.raises(BundleError, match=f"manifest.json: lacks '{field}'"):
        read_manifest(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "", "name is 1 to 1000 characters"),
        ("name", 3, "name is"),
        ("created", "yesterday", "yesterday"),
        ("created", "2026-01-02T03:04:05", "offset from UTC"),
        ("created", None, "created is a time"),
        ("classes", ["a", "a"], "'a' twice"),
        ("classes", ["a"], "classes are 2 to"),
        ("classes", ["a", 1], r"classes\[1\] is"),
        ("classes", ["a", []], r"classes\[1\] is"),
        ("classes", "ab", "classes is a JSON list"),
        ("preprocessing", {"height_px": 6}, "preprocessing holds"),
        ("preprocessing", None, "preprocessing holds"),
        ("temperature", 0, "temperature is from 1e-06"),
        ("temperature", True, "temperature is a number"),
        ("temperature", "2", "temperature is a number"),
        ("threshold", 1.5, "threshold is from 0 to 1"),
        ("target_error_rate", -1, "target_error_rate is from 0 to 1"),
        ("operating_point", {"threshold": 0.5}, "missing"),
        ("operating_point", POINT | {"threshold": 2}, "threshold is from 0 to 1"),
        ("operating_point", POINT | {"measure": "f1"}, "measure is recall or precision"),
        ("operating_point", POINT | {"class_name": "cat"}, "one of two classes, got 'cat'"),
        ("class_weights", [1.0], "class_weights are 2, got 1"),
        ("class_weights", [1.0, 0], r"class_weights\[1\] is from"),
        ("unknown_rate", 1.5, "unknown_rate is from 0 to 1"),
        ("unknown_rate", "0.05", "unknown_rate is a number"),
        ("refused", [{"pictures": "gradients"}], "lacks 'num_images'"),
        ("refused", [REFUSED | {"pictures": ""}], r"refused\[0\] is 1 to 1000 characters"),
        ("refused", 7, "manifest.json"),
        ("class_weights", [1.0, "2"], r"class_weights\[1\] is a number"),
        ("class_weights", 3, "manifest.json"),
        ("label_thresholds", [0.5], "label_thresholds are 2, got 1"),
        ("label_thresholds", [0.5, 2], r"label_thresholds\[1\] is from 0 to 1"),
        ("label_thresholds", [0.5, "1"], r"label_thresholds\[1\] is a number"),
        ("label_thresholds", 0.5, "manifest.json"),
        ("evaluation", 7, "manifest.json"),
        ("evaluation", {}, "manifest.json"),
        ("provenance", [], "provenance is a JSON dict"),
        ("digests", {"model.onnx": "0" * 64}, "digests holds"),
        ("digests", dict.fromkeys(MEMBERS[1:], "xyz"), "64 hexadecimal digits"),
        ("format", "zip", 'does not begin with "format"'),
        ("format_version", "1", "format_version is a whole number"),
        ("format_version", True, "format_version is a whole number"),
        ("format_version", 0, "format_version is a whole number"),
        ("format_version", 5, "newer Saccade.*pip install --upgrade saccade"),
    ],
)
def test_field_is_wrong(manifest: Manifest, field: str, value: Any, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        read_manifest(changed(manifest, **{field: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [("height_px", 0), ("width_px", 10**9), ("channels", 2), ("fit", "crop"), ("height_px", 1.5)],
)
def test_preprocessing_out_of_range(manifest: Manifest, key: str, value: Any) -> None:
    preprocessing = manifest.preprocessing.to_json() | {key: value}
    with pytest.raises(BundleError, match=key):
        read_manifest(changed(manifest, preprocessing=preprocessing))


def test_newer_version_may_lack_every_field() -> None:
    with pytest.raises(BundleError, match="written in format 9 by a newer Saccade"):
        read_manifest(b'{"format": "saccade-bundle", "format_version": 9}')


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}', b"9" * 10_000, b"null", b"[]"],
)
def test_bytes_that_are_no_manifest(content: bytes) -> None:
    with pytest.raises(BundleError, match="manifest.json"):
        read_manifest(content)


def test_nan_is_refused_when_made(manifest: Manifest) -> None:
    fields = {name: getattr(manifest, name) for name in manifest.__slots__}
    with pytest.raises(ValueError, match="temperature is a number"):
        Manifest(**(fields | {"temperature": math.nan}))
