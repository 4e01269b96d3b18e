"""The far side of the sandbox: a script that eval/sandbox.py starts, which walls itself in and then runs the program.

    python -I -S eval/jail.py CONTROL STATUS      two file descriptors; standard streams are the program's

Three processes: this one takes namespaces of its own, the first process inside (pid 1 there) builds a root of its own
and waits, its child becomes the program. When pid 1 ends, the kernel kills whatever else is inside. Only the standard
library is imported, since the start counts in every run.
"""

import ctypes
import json
import os
import resource
import signal
import sys

NAMESPACES = 0x10000000 | 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000
"""CLONE_NEW: USER, NS (mounts), PID, NET, IPC, UTS."""
_PDEATHSIG, _DUMPABLE, _SECUREBITS, _NO_NEW_PRIVS = 1, 4, 28, 38
_NOSUID, _NODEV, _BIND, _REC, _PRIVATE = 2, 4, 4096, 16384, 1 << 18
_MOUNT_SETATTR = 442
"""A system call with the same number on every architecture that has it (Linux 5.12)."""
_READ_ONLY, _RECURSIVE, _DETACH = 1, 0x8000, 2
DEVICES = ("null", "zero", "urandom")
WORK, PROGRAM = "/work", "/program.py"

_libc = ctypes.CDLL(None, use_errno=True)


def main(control: int, status: int) -> None:
    """Wall in, tell so, take the request (JSON) when the other side has mapped the user, run it."""
    _die_with_parent()
    os.set_inheritable(status, False)
    _say(status, {"refused": _unshare()})
    request = json.loads(_read_all(control))
    os.close(control)
    if not request:
        os._exit(0)
    if inside := os.fork():
        os.close(status)
        for stream in (0, 1, 2):
            os.close(stream)
        os.waitpid(inside, 0)
        os._exit(0)
    _first(request, status)


def _unshare() -> str:
    """Take namespaces; what the system says where it does not give them."""
    return "" if _libc.unshare(NAMESPACES) == 0 else os.strerror(ctypes.get_errno())


def _first(request: dict, status: int) -> None:
    """Pid 1 inside: build the root, become the user, start the program, say how it ended."""
    try:
        _die_with_parent()
        folder = request["folder"]
        if request["walled"]:
            _build_root(request)
            folder = WORK
        _become(request["uid"])
        _die_with_parent()  # a change of user has undone it
        _prctl(_DUMPABLE, 0)
        program = os.fork()
        if not program:
            _run(request, folder)
        for stream in (0, 1, 2):
            os.close(stream)
        pid, how, usage = os.wait4(-1, 0)
        while pid != program:
            pid, how, usage = os.wait4(-1, 0)
        _say(status, {"how": how, "cpu_s": usage.ru_utime + usage.ru_stime})
    except BaseException as error:  # the only way to tell: this process has no one to raise to
        _say(status, {"failed": f"{type(error).__name__}: {error}"})
    os._exit(0)


def _run(request: dict, folder: str) -> None:
    """Become the program."""
    try:
        os.setsid()
        os.chdir(folder)
        for name, value in request["limits"].items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value + (name == "CPU")))
        _prctl(_NO_NEW_PRIVS, 1)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        path = PROGRAM if request["walled"] else os.path.join(folder, ".program.py")
        words = [request["python"], "-B", "-S", "-s", "-P", path]
        os.execve(words[0], words, {"PYTHONHASHSEED": "0", "PATH": "", "HOME": folder, "LANG": "C.UTF-8"})
    except BaseException as error:
        os.write(2, f"the sandbox could not start the program: {error}\n".encode())
    os._exit(127)


def _build_root(request: dict) -> None:
    """A root of its own in memory: the interpreter and the libraries, read-only, three devices, an empty folder.

    It is built over /proc, where nothing lies that is wanted, and there is none inside: other processes stay unseen.
    """
    root = "/proc"
    with open("/proc/sys/user/max_user_namespaces", "w") as stream:
        stream.write("0")  # no namespaces in namespaces: they would give capabilities again
    _mount(None, "/", None, _REC | _PRIVATE)
    _mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "size=4m,nr_inodes=512,mode=755")
    for path in request["readable"]:
        _show(path, root)
    os.mkdir(f"{root}/dev")
    for name in DEVICES:
        open(f"{root}/dev/{name}", "w").close()
        _mount(f"/dev/{name}", f"{root}/dev/{name}", None, _BIND)
    with open(f"{root}{PROGRAM}", "w", encoding="utf-8", errors="surrogatepass") as stream:
        stream.write(request["code"])
    os.chmod(f"{root}{PROGRAM}", 0o644)
    os.mkdir(f"{root}{WORK}")
    space = f"size={request['disk_bytes']},nr_inodes=4096,mode=700,uid={request['uid']},gid={request['uid']}"
    _mount("tmpfs", f"{root}{WORK}", "tmpfs", _NOSUID | _NODEV, space)
    os.chdir(root)
    _checked(_libc.pivot_root(b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", _DETACH), "umount")
    os.chdir("/")
    _set_attributes("/", _READ_ONLY, 0)


def _show(path: str, root: str) -> None:
    """Put a folder of the system into the new root, read-only; a symlink stays one."""
    os.makedirs(os.path.dirname(root + path), mode=0o755, exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), root + path)
        return
    os.makedirs(root + path, exist_ok=True)
    _mount(path, root + path, None, _BIND | _REC)
    _set_attributes(root + path, _READ_ONLY | _NOSUID | _NODEV, _RECURSIVE)


def _become(uid: int) -> None:
    if os.getuid() != uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    _libc.prctl(_SECUREBITS, 3, 0, 0, 0)  # NOROOT, locked: not even user 0 gets capabilities by running a program


def _mount(what: str | None, where: str, kind: str | None, flags: int, data: str | None = None) -> None:
    texts = [text.encode() if text is not None else None for text in (what, where, kind, data)]
    done = _libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])
    _checked(done, f"mount {where}")


def _set_attributes(path: str, attributes: int, flags: int) -> None:
    """Set attributes of a mount and leave the others as they are (mount_setattr)."""
    wanted = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    done = _libc.syscall(_MOUNT_SETATTR, -100, path.encode(), flags, ctypes.byref(wanted), ctypes.c_size_t(32))
    _checked(done, f"read-only {path}")


def _die_with_parent() -> None:
    _prctl(_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    _checked(_libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), f"prctl {option}")


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _say(status: int, message: dict) -> None:
    os.write(status, json.dumps(message).encode() + b"\n")


def _read_all(descriptor: int) -> bytes:
    parts = []
    while part := os.read(descriptor, 1 << 16):
        parts.append(part)
    return b"".join(parts)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
