"""policies/base: what each base is for works under it alone, and what it leaves out does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kernel import attacks

if TYPE_CHECKING:
    from tests.kernel.running import Site


def needs(*programs: str) -> pytest.MarkDecorator:
    lacking = attacks.missing(*programs)
    return pytest.mark.skipif(bool(lacking), reason=lacking)


class TestStatic:
    def test_a_static_program_works(self, site: Site) -> None:
        counted = attacks.succeeds(site, "base/static", "/bin/wc", "-c", image=f"rootfs:{site.image}", send=b"12345")
        assert counted.split() == [b"5"]

    @pytest.mark.parametrize("command", ["mkdir /tmp/x", "nc 127.0.0.1 1", "hostname x", "ln /bin/sh /x"])
    def test_and_does_nothing_else(self, site: Site, command: str) -> None:
        done = attacks.launch(site, "base/static", "/bin/busybox", *command.split(), image=f"rootfs:{site.image}")
        assert done.returncode != 0
        assert b"Operation not permitted" in done.stderr


SCRIPT = r"""
set -e
cd /tmp
mkdir a
for n in 3 1 2; do echo $n; done | sort | tee a/x | wc -l
cp -a a b; tar cf t.tar a b; mv a c; ln -s c d; find . -name x | sort
sed -i s/1/9/ c/x; cat d/x
mkfifo p; (echo through > p &); cat p
chmod 600 c/x; touch -d 2001-01-01 c/x; stat -c '%a %Y' c/x
gzip -k c/x; timeout 9 nice gunzip -c c/x.gz | head -n 1
trap 'echo trapped' TERM; kill -TERM $$
rm -r b c d p t.tar; ls
"""
WRITTEN = "3\n./b/x\n./c/x\n9\n2\n3\nthrough\n600 978307200\n9\ntrapped\n"


class TestShell:
    def test_scripts_work(self, site: Site) -> None:
        done = attacks.launch(site, "base/shell", "/bin/bash", "-c", SCRIPT)
        assert done.stdout.decode() == WRITTEN
        assert done.stderr == b""

    def test_there_is_no_socket_and_no_trace_on_the_root(self, site: Site) -> None:
        script = "echo > /dev/tcp/127.0.0.1/1; echo > /etc/x; chmod u+s /tmp; mknod /tmp/d c 1 3; cp /bin/true /tmp; /tmp/true"
        done = attacks.launch(site, "base/shell", "/bin/bash", "-c", script)
        said = done.stderr.decode()
        for refused in ("/dev/tcp/127.0.0.1/1: Operation not permitted", "/etc/x: Read-only file system"):
            assert refused in said
        for refused in ("changing permissions of '/tmp': Operation not permitted", "/tmp/d: Operation not permitted"):
            assert refused in said.replace("\u2018", "'").replace("\u2019", "'")
        assert "/tmp/true: Permission denied" in said


PYTHON = """
import asyncio, multiprocessing, os, sqlite3, ssl, subprocess, tempfile, threading
def square(number): return number * number
async def talk():
    server = await asyncio.start_server(lambda reader, writer: (writer.write(b"pong"), writer.close()), "127.0.0.1", 9000)
    reader, writer = await asyncio.open_connection("127.0.0.1", 9000)
    print((await reader.read()).decode())
    child = await asyncio.create_subprocess_exec("echo", "from a child")
    print(await child.wait())
found = []
thread = threading.Thread(target=found.append, args=(1,)); thread.start(); thread.join()
with multiprocessing.get_context("fork").Pool(2) as pool: print(pool.map(square, [1, 2, 3]), found)
asyncio.run(talk())
with tempfile.NamedTemporaryFile() as file:
    base = sqlite3.connect(file.name); base.execute("create table t (a)"); base.commit()
print(subprocess.run(["sh", "-c", "echo $((6 * 7))"], capture_output=True).stdout.decode(), end="")
"""
HOSTILE = """
import ctypes, os, socket
def tell(call, *arguments):
    try: call(*arguments); print("reached", call, arguments)
    except OSError as error: print(error.strerror)
tell(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW)
tell(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1)
tell(socket.create_connection, ("169.254.169.254", 80), 1)
tell(os.memfd_create, "x")
tell(os.chmod, "/tmp", 0o4755)
tell(open, "/usr/x", "w")
libc = ctypes.CDLL(None, use_errno=True)
for number in (101, 425, 250):  # ptrace, io_uring_setup, keyctl
    ctypes.set_errno(0); libc.syscall(number, 0, 0, 0, 0); print(os.strerror(ctypes.get_errno()))
"""


@needs("python3")
class TestPython:
    def test_programs_work(self, site: Site) -> None:
        said = attacks.succeeds(site, "base/python", "python3", "-c", PYTHON)
        assert said.decode() == "[1, 4, 9] [1]\npong\nfrom a child\n0\n42\n"

    def test_and_get_no_further(self, site: Site) -> None:
        said = attacks.succeeds(site, "base/python", "python3", "-c", HOSTILE).decode().splitlines()
        refused = "Operation not permitted"
        assert said == [refused, refused, "Network is unreachable", refused, refused, "Read-only file system", *[refused] * 3]


NODE = """
const { Worker } = require("worker_threads"), http = require("http"), fs = require("fs"), child = require("child_process");
fs.writeFileSync("/tmp/a", "x");
console.log(child.execSync("echo from a child").toString().trim());
new Worker('require("worker_threads").parentPort.postMessage(6 * 7)', { eval: true }).on("message", (answer) => {
  console.log(answer);
  const server = http.createServer((request, response) => response.end("pong")).listen(8080, () =>
    http.get("http://127.0.0.1:8080", (response) => response.on("data", (data) => {
      console.log(`${data}`);
      server.close();
    })));
});
"""
HOSTILE_NODE = """
const fs = require("fs"), net = require("net"), child = require("child_process");
const tell = (work) => { try { work(); console.log("reached"); } catch (error) { console.log(error.code); } };
tell(() => fs.writeFileSync("/usr/x", ""));
tell(() => fs.chmodSync("/tmp", 0o4755));
tell(() => { fs.copyFileSync("/bin/true", "/tmp/true"); child.execFileSync("/tmp/true"); });
net.connect(80, "169.254.169.254").on("error", (error) => console.log(error.code));
"""


@needs("node")
class TestNode:
    def test_programs_work(self, site: Site) -> None:
        assert attacks.succeeds(site, "base/node", "node", "-e", NODE).decode() == "from a child\n42\npong\n"

    def test_and_get_no_further(self, site: Site) -> None:
        said = attacks.succeeds(site, "base/node", "node", "-e", HOSTILE_NODE).decode().split()
        assert said == ["EROFS", "EPERM", "EACCES", "ENETUNREACH"]
