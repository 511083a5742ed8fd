"""What an image reference means, and that nothing that only looks like one is taken for it."""

from __future__ import annotations

import pytest

from enforcer.errors import ImageError
from enforcer.oci.reference import Reference, parse_digest, parse_reference

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("host", Reference("host", "host")),
        ("rootfs:/srv/root", Reference("rootfs", path="/srv/root")),
        ("rootfs:a:b", Reference("rootfs", path="a:b")),
        ("oci:layout", Reference("oci", path="layout")),
        ("oci:layout:v1.0", Reference("oci", tag="v1.0", path="layout")),
        ("oci:layout:docker.io/library/a:1", Reference("oci", tag="docker.io/library/a:1", path="layout")),
        ("oci-archive:a.tar:v1", Reference("oci-archive", tag="v1", path="a.tar")),
        ("docker-archive:a.tar", Reference("docker-archive", path="a.tar")),
        ("docker-archive:a.tar:shop/web:2", Reference("docker-archive", "docker.io/shop/web", "2", path="a.tar")),
        ("nginx", Reference("docker", "docker.io/library/nginx", "latest")),
        ("nginx:1.27", Reference("docker", "docker.io/library/nginx", "1.27")),
        ("docker.io/nginx", Reference("docker", "docker.io/library/nginx", "latest")),
        ("index.docker.io/nginx", Reference("docker", "docker.io/library/nginx", "latest")),
        ("shop/web", Reference("docker", "docker.io/shop/web", "latest")),
        ("docker://shop/web:A_b", Reference("docker", "docker.io/shop/web", "A_b")),
        ("localhost/web", Reference("docker", "localhost/web", "latest")),
        ("localhost:5000/web:1", Reference("docker", "localhost:5000/web", "1")),
        ("registry.example/a/b_c/d__e/f-g.h:1", Reference("docker", "registry.example/a/b_c/d__e/f-g.h", "1")),
        (f"nginx@sha256:{HEX}", Reference("docker", "docker.io/library/nginx", "", f"sha256:{HEX}")),
        (f"nginx:1@sha256:{HEX}", Reference("docker", "docker.io/library/nginx", "1", f"sha256:{HEX}")),
    ],
)
def test_a_reference_is_read_and_its_canonical_text_reads_the_same(text: str, reference: Reference) -> None:
    assert parse_reference(text) == reference
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    [
        "", " nginx", "nginx ", "nginx:", "nginx:-a", "nginx:" + "a" * 129, "Nginx", "a/B", "a//b", "/a", "a/", "a/../b",
        "..", ".",
        "-a", "a-", "a..b", "a___b", "_a", "a.", "registry.example/", "registry.example:0/a", "registry.example:65536/a",
        "registry.example:x/a", "-registry.example/a", "registry..example/a", "[::1]:5000/a", "a@b", "nginx@sha256:",
        "@sha256:" + HEX,
        f"nginx@sha256:{HEX}0", f"nginx@sha256:{HEX.upper()}", f"nginx@sha512:{HEX}", f"nginx@sha256:../../{HEX[6:]}",
        f"nginx@sha256:{HEX}@sha256:{HEX}", f"nginx@md5:{HEX[:32]}", "host:1", "dir:a", "docker-daemon:a:b",
        "containers-storage:a",
        "http://a/b", "docker:nginx", "oci:", "oci-archive:", "docker-archive:", "rootfs:", "oci:a:", "oci:a:-b", "oci:a:b c",
        "docker-archive:a.tar:", "docker-archive:a.tar:UP:1", f"docker-archive:a.tar:b@sha256:{HEX}", "a\0b", "a\nb", "a\tb",
        "a\x7fb",
        "nginx;id", "nginx$(id)", "nginx`id`", "a b", "a\\b", "%2e%2e/a", "a?b", "a#b", "a" * 256, "a/" * 200 + "a", "a" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_reference_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(ImageError) as refused:
        parse_reference(text)
    assert refused.value.what
    assert refused.value.why or refused.value.hint or "longer" in refused.value.what or "empty" in refused.value.what


# Characters that look like ASCII ones, that hide, join, reorder or break lines, or that normalise to a separator.
LOOKALIKES = (
    # Cyrillic
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u04bb\u04cf\u051b\u051d\u044c\u0433\u043f\u043a"
    "\u03bf\u03b1\u03c1\u03bd\u03b9\u03ba\u03c4\u03c5\u03c7"  # Greek
    "\uff4e\uff47\uff49\uff58\uff0f\uff1a\uff0e\uff20\uff0d\uff3f\uff10\uff11"  # full width
    "\u2215\u2044\u29f8\u2f03\u2010\u2011\u2012\u2013\u2014\u2212\u2024\u2025\u3002\u00b7\u2236\uff1a\ua789\u02d0"  # separators
    "\u00a0\u00ad\u034f\u061c\u115f\u1680\u180e\u2000\u2003\u2009\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b"
    "\u202c\u202d"
    "\u202e\u202f\u205f\u2060\u2061\u2066\u2067\u2068\u2069\u206a\u3000\ufeff\ufff9\ufffc\ufffd\u0300\u0301\u0336\u20e3\ufe0f"
    # letters and digits that case mapping or normalisation turns into ASCII
    "\u0131\u0237\u0138\u0153\u00e6\u00df\u017f\ufb00\ufb01\ufb02\u2116\u2121\u00aa\u00ba\u00b2\u00b3\u00b9\u2460\u2160"
    "\u2170\u217f\U0001d427\U0001d45b\U0001d4f7\U0001d52b\U0001d55f\U0001d593\U0001d5c7\U0001d62f\U0001d663\U0001d697"
    "\U0001d7ce\U0001d7cf"
    "\u0130\u212a\u212b\ud800\udfff\U000e0061\U000e007f"
)
NAMES = (
    "docker.io/library/nginx:1.27",
    "registry.example/shop/web",
    f"nginx@sha256:{HEX}",
    "oci:layout:v1",
    "rootfs:/srv/root",
    "host",
)


def confusables() -> list[str]:
    """A thousand references with one character replaced by, or joined with, one that is not ASCII."""
    corpus: dict[str, None] = {}
    for number in range(4000):
        name, character = NAMES[number % len(NAMES)], LOOKALIKES[number % len(LOOKALIKES)]
        position = number * 7 % len(name)
        corpus[name[:position] + character + name[position + number % 2 :]] = None
    return list(corpus)[:1000]


def test_a_thousand_confusables_are_refused() -> None:
    corpus = confusables()
    assert len(corpus) == 1000
    for text in corpus:
        with pytest.raises(ImageError, match="U\\+") as refused:
            parse_reference(text)
        assert refused.value.render().isascii(), "the message itself must not show the look-alike"


@pytest.mark.parametrize(
    "text", ["", HEX, "sha256:", f"sha256:{HEX}\n", f" sha256:{HEX}", f"sha256:{HEX[1:]}g", f"SHA256:{HEX}"]
)
def test_cve_2024_3727_a_digest_is_checked_before_any_use(text: str) -> None:
    with pytest.raises(ImageError):
        parse_digest(text)
    assert parse_digest(f"sha256:{HEX}") == f"sha256:{HEX}"
