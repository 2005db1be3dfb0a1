from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from saccade.bundle import Runtime, read_bundle
from saccade.bundle.manifest import KERAS, MANIFEST, MEMBERS, ONNX, SEEN
from saccade.errors import BundleError

Members = dict[str, bytes]


def members_of(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, members: Members, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def resigned(members: Members) -> Members:
    """Return the members as a forger would leave them: with digests that hold."""
    manifest = json.loads(members[MANIFEST])
    manifest["digests"] = {
        name: hashlib.sha256(members[name]).hexdigest() for name in manifest["digests"]
    }
    return members | {MANIFEST: json.dumps(manifest).encode()}


def refused(path: Path, message: str) -> None:
    with pytest.raises(BundleError, match=message) as caught:
        read_bundle(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_good_bundle_is_read(bundle_path: Path) -> None:
    bundle = read_bundle(bundle_path)
    members = members_of(bundle_path)
    assert bundle.manifest.classes == ("dark", "light")
    assert bundle.manifest.provenance == {"seed": 7, "versions": {"keras": "3"}}
    assert bundle.onnx == members[ONNX]
    assert bundle.seen.tolist() == [3, 5, 2**64 - 1]
    assert set(members) == set(MEMBERS)


def test_file_is_missing(tmp_path: Path) -> None:
    refused(tmp_path / "none.saccade", "there is no such file")


def test_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "there is no such file")


@pytest.mark.parametrize("content", [b"", b"PK", b"{}", b"\x89PNG\r\n\x1a\n" * 100])
def test_file_is_no_zip(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.saccade"
    path.write_bytes(content)
    refused(path, "not a bundle, or a damaged one")


def test_zip_of_something_else(tmp_path: Path) -> None:
    refused(write(tmp_path / "model.saccade", {"a.txt": b"a"}), "holds no manifest.json")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_file_is_cut_short(tmp_path: Path, bundle_path: Path, share: float) -> None:
    content = bundle_path.read_bytes()
    path = tmp_path / "model.saccade"
    path.write_bytes(content[: int(len(content) * share)])
    refused(path, "damaged")


@pytest.mark.parametrize("member", MEMBERS)
def test_member_is_missing(tmp_path: Path, bundle_path: Path, member: str) -> None:
    members = members_of(bundle_path)
    del members[member]
    refused(write(tmp_path / "m.saccade", members), "a bundle holds|holds no manifest")


@pytest.mark.parametrize("name", ["extra.txt", "../model.onnx", "/etc/passwd", "model.onnx/"])
def test_member_too_many(tmp_path: Path, bundle_path: Path, name: str) -> None:
    members = members_of(bundle_path) | {name: b"x"}
    refused(write(tmp_path / "m.saccade", members), "a bundle holds")


@pytest.mark.filterwarnings("ignore:Duplicate name")  # zipfile's, while the test makes the file
def test_member_twice(tmp_path: Path, bundle_path: Path) -> None:
    path = write(tmp_path / "m.saccade", members_of(bundle_path))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(ONNX, b"another")
    refused(path, "a bundle holds")


@pytest.mark.parametrize("member", [ONNX, KERAS, SEEN])
def test_member_is_not_what_was_written(tmp_path: Path, bundle_path: Path, member: str) -> None:
    members = members_of(bundle_path)
    members[member] = members[member][:-1] + bytes([members[member][-1] ^ 1])
    refused(write(tmp_path / "m.saccade", members), f"{member} is not what was written")


def test_members_that_expand(tmp_path: Path, bundle_path: Path) -> None:
    members = members_of(bundle_path) | {ONNX: bytes(50_000_000)}
    path = write(tmp_path / "m.saccade", members, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1_000_000
    refused(path, "is compressed")


def test_size_beyond_the_file(tmp_path: Path, bundle_path: Path) -> None:
    content = bytearray(bundle_path.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(SEEN.encode()))
    struct.pack_into("<II", content, entry + 20, 2**31, 2**31)  # both sizes, stored and unpacked
    path = tmp_path / "m.saccade"
    path.write_bytes(content)
    refused(path, "too large|damaged")


def test_manifest_without_digests(tmp_path: Path, bundle_path: Path) -> None:
    members = members_of(bundle_path)
    manifest = json.loads(members[MANIFEST]) | {"digests": {}}
    members[MANIFEST] = json.dumps(manifest).encode()
    refused(write(tmp_path / "m.saccade", members), "digests are missing")


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(np.array([print], dtype=object)), "holds object"),
        (npy(np.array([2, 1], dtype=np.uint64)), "not sorted"),
        (npy(np.array([1.0])), "holds float64"),
        (npy(np.zeros((1, 1), dtype=np.uint64)), "of shape"),
        (npy(np.zeros(3, dtype=np.uint64))[:-1], "of shape"),
        (npy(np.zeros(3, dtype=np.uint64)).replace(b"(3,)", b"(9" + b"9" * 30 + b",)"), "seen"),
        (b"\x80\x04K\x01.", "not an .npy file"),
        (b"", "not an .npy file"),
    ],
)
def test_seen_is_no_array_of_digests(
    tmp_path: Path, bundle_path: Path, content: bytes, message: str
) -> None:
    members = resigned(members_of(bundle_path) | {SEEN: content})
    refused(write(tmp_path / "m.saccade", members), message)


def renamed_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = model.graph.node[0].input[0] = "image"


def renamed_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = model.graph.node[-1].output[0] = "scores"


def other_size(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 7


def other_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def fixed_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def second_output(model: onnx.ModelProto) -> None:
    model.graph.output.append(
        onnx.helper.make_tensor_value_info(model.graph.node[0].output[0], 1, None)
    )


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Evil"


@pytest.mark.parametrize(
    "change",
    [
        renamed_input,
        renamed_output,
        other_size,
        other_type,
        fixed_batch,
        second_output,
        unknown_operator,
    ],
)
def test_onnx_that_is_no_classifier(
    bundle_path: Path, change: Callable[[onnx.ModelProto], None], capfd: pytest.CaptureFixture[str]
) -> None:
    bundle = read_bundle(bundle_path)
    shape = bundle.manifest.preprocessing.shape
    model = onnx.load_from_string(bundle.onnx)
    change(model)
    with pytest.raises(BundleError, match=r"^model.onnx") as caught:
        Runtime(model.SerializeToString(), input_shape=shape, num_classes=2)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_onnx_with_other_classes(bundle_path: Path) -> None:
    bundle = read_bundle(bundle_path)
    with pytest.raises(BundleError, match=r"^model.onnx takes"):
        Runtime(bundle.onnx, input_shape=bundle.manifest.preprocessing.shape, num_classes=3)


def test_any_changed_byte_is_refused_or_harmless(tmp_path: Path, bundle_path: Path) -> None:
    """Flip bytes: a bundle is refused, or is read as it was (a file's date may be flipped)."""
    content, good = bundle_path.read_bytes(), read_bundle(bundle_path)
    random = np.random.default_rng(0)
    # All of the archive's own structure at the end, and a sample of everything before.
    ends = range(len(content) - 320, len(content))
    places = [*random.integers(0, len(content), 500), *ends]
    path, num_refused = tmp_path / "m.saccade", 0
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= int(random.integers(1, 256))
        path.write_bytes(damaged)
        try:
            bundle = read_bundle(path)
        except BundleError:
            num_refused += 1
            continue
        assert bundle.manifest == good.manifest
        assert bundle.onnx == good.onnx
        np.testing.assert_array_equal(bundle.seen, good.seen)
    assert num_refused > 0.8 * len(places)


def test_any_bytes_as_onnx_are_refused_or_run(
    bundle_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Bytes flipped by a forger who mends the digests reach ONNX Runtime: no crash, no hang."""
    bundle = read_bundle(bundle_path)
    random = np.random.default_rng(1)
    shape = bundle.manifest.preprocessing.shape
    num_refused = 0
    for _ in range(300):
        damaged = bytearray(bundle.onnx)
        damaged[random.integers(0, len(damaged))] ^= int(random.integers(1, 256))
        try:
            runtime = Runtime(bytes(damaged), input_shape=shape, num_classes=2)
            runtime.probabilities(np.zeros((1, *shape), dtype=np.uint8))
        except BundleError:
            num_refused += 1
    assert num_refused > 100
    assert capfd.readouterr() == ("", "")
