from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from saccade.data.picture import Preprocessing
from saccade.data.quiet import QUIET
from saccade.errors import PictureError


def damaged_tiff() -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "TIFF", compression="tiff_adobe_deflate")
    content = bytearray(buffer.getvalue())
    content[100:600] = bytes(500)
    return bytes(content)


@pytest.mark.skipif(sys.platform == "win32", reason="Pillow's libtiff shows no symbols there")
def test_libtiff_prints_nothing_here_and_again_outside(capfd):
    with pytest.raises(PictureError, match="damaged"):
        Preprocessing(height_px=4, width_px=4, channels=3).read(damaged_tiff())
    assert capfd.readouterr() == ("", "")
    with (
        pytest.raises(OSError, match="decoder error"),
        Image.open(io.BytesIO(damaged_tiff())) as image,
    ):
        image.load()
    assert "ZIPDecode" in capfd.readouterr().err


LOGGING = """
import logging
from saccade.data.quiet import QUIET
with QUIET:
    logging.getLogger("PIL.TiffImagePlugin").error("inside")
logging.getLogger("PIL.TiffImagePlugin").error("outside")
"""


def test_pillows_log_is_not_printed_where_nobody_asked_for_it():
    done = subprocess.run(
        [sys.executable, "-c", LOGGING], capture_output=True, text=True, check=True
    )
    assert done.stderr == "outside\n"


def test_pillows_log_reaches_whoever_asked_for_it(caplog):
    with QUIET:
        logging.getLogger("PIL.TiffImagePlugin").error("inside")
    assert caplog.messages == ["inside"]


def warn_as_pillow() -> None:
    warnings.warn_explicit("odd", UserWarning, "x.py", 1, module="PIL.Image")


def test_warnings_come_back_when_the_last_thread_is_out():
    before = list(warnings.filters)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with QUIET:
            entered.set()
            leave.wait(10)

    with QUIET:
        thread = threading.Thread(target=hold)
        thread.start()
        assert entered.wait(10)
        warn_as_pillow()
    warn_as_pillow()  # the other one is still inside
    leave.set()
    thread.join()
    assert warnings.filters == before
    with pytest.warns(UserWarning, match="odd"):
        warn_as_pillow()
