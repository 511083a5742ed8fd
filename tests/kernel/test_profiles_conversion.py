"""policies/data-conversion.yaml: poppler and ffmpeg between standard input and output; files and sockets are out of reach."""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING

import pytest

from tests.kernel import attacks

if TYPE_CHECKING:
    from tests.kernel.running import Site

MISSING = attacks.missing("pdftotext", "pdftoppm", "ffmpeg")
pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)
PROFILE = "data-conversion"


def document(text: str) -> bytes:
    """A PDF of one page."""
    content = f"BT /F1 24 Tf 20 40 Td ({text}) Tj ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 100] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(content)} >>\nstream\n{content}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    body, places = "%PDF-1.4\n", []
    for number, item in enumerate(objects, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n{item}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    index = f"xref\n0 6\n0000000000 65535 f \n{table}trailer << /Root 1 0 R /Size 6 >>\nstartxref\n{len(body)}\n%%EOF\n"
    return (body + index).encode()


def sound(seconds: int) -> bytes:
    """Silence as a WAV file: one channel, 8 kHz, 16 bits."""
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000 * seconds))
    return target.getvalue()


def test_a_document_becomes_text(site: Site) -> None:
    text = attacks.succeeds(site, PROFILE, "pdftotext", "-", "-", send=document("Quarterly report"))
    assert text.decode().strip("\n\f") == "Quarterly report"


def test_a_document_becomes_a_picture(site: Site) -> None:
    picture = attacks.succeeds(site, PROFILE, "pdftoppm", "-r", "50", "-gray", send=document("Quarterly report"))
    assert picture.startswith(b"P5\n209 70\n255\n")
    assert len(set(picture[-209 * 70 :])) > 2  # letters, by a font of /usr


def test_a_sound_becomes_another(site: Site) -> None:
    flac = attacks.succeeds(site, PROFILE, "ffmpeg", "-i", "pipe:0", "-f", "flac", "pipe:1", send=sound(2))
    assert flac.startswith(b"fLaC")
    again = attacks.succeeds(site, PROFILE, "ffmpeg", "-i", "pipe:0", "-f", "s16le", "pipe:1", send=flac)
    assert again == bytes(32000)


def shell(site: Site, script: str) -> list[str]:
    """Lines that a script writes to both streams."""
    done = attacks.launch(site, PROFILE, "/bin/sh", "-c", f"exec 2>&1; {script}")
    return done.stdout.decode().splitlines()


def test_a_playlist_names_files_in_vain(site: Site) -> None:
    """The old way to steal by a film: a list of parts that are files of the server's, or addresses."""
    listed = b"file 'file:/etc/passwd'\n"
    concat = (
        "ffmpeg",
        "-f",
        "concat",
        "-safe",
        "0",
        "-protocol_whitelist",
        "file,pipe,tcp",
        "-i",
        "pipe:0",
        "-f",
        "s16le",
        "-",
    )
    done = attacks.launch(site, PROFILE, *concat, send=listed)
    assert done.returncode != 0
    assert b"Permission denied" in done.stderr
    done = attacks.launch(site, PROFILE, *concat, send=f"file 'tcp://{attacks.METADATA}:80'\n".encode())
    assert done.returncode != 0
    assert b"Operation not permitted" in done.stderr


def test_only_what_it_needs_can_be_read(site: Site) -> None:
    assert shell(site, "cat /etc/passwd") == ["cat: /etc/passwd: Permission denied"]
    assert shell(site, "ls /srv") == ["ls: cannot open directory '/srv': Permission denied"]
    assert shell(site, "head -c 0 /etc/ld.so.cache && echo read") == ["read"]


def test_there_is_no_socket(site: Site) -> None:
    program = "import socket\nfor family in socket.AF_INET, socket.AF_UNIX, socket.AF_NETLINK:\n"
    program += "    try: socket.socket(family)\n    except OSError as error: print(error.strerror)"
    if attacks.missing("python3"):
        pytest.skip(attacks.missing("python3"))
    assert attacks.succeeds(site, PROFILE, "python3", "-c", program).decode() == "Operation not permitted\n" * 3


def test_what_is_written_does_not_run_and_has_an_end(site: Site) -> None:
    assert shell(site, "cp /bin/true /tmp/true && /tmp/true") == ["/bin/sh: 1: /tmp/true: Permission denied"]
    assert "No space left on device" in shell(site, "dd if=/dev/zero of=/tmp/fill bs=1M count=300")[0]
    assert shell(site, ": > /usr/lib/x")[0].endswith(("Read-only file system", "Permission denied"))
