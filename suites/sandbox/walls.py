"""The walls around generated code: namespaces, a root of its own, Landlock, limits."""

import contextlib
import ctypes
import os
import resource
import struct
from collections.abc import Mapping, Sequence

# linux/sched.h, linux/mount.h, linux/prctl.h, linux/landlock.h; the last are numbers of calls
# that are the same on every machine.
_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_NEW_ALL = _NEW_MOUNTS | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000  # uts ipc pid net
_BIND, _RECURSIVE, _PRIVATE, _DETACH = 0x1000, 0x4000, 0x40000, 2
_NO_SUID, _NO_DEVICES = 0x2, 0x4
_READ_ONLY_ATTRIBUTES, _AT_RECURSIVE = 0x1 | 0x2 | 0x4, 0x8000
_DIE_WITH_PARENT, _NO_NEW_PRIVILEGES = 1, 38
_MOUNT_SETATTR, _LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 442, 444, 445, 446
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
# Landlock's rights on files by the version that brought them, and those to read and to run.
_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
# A test of a function needs no more files than these.
_WORK_FILES = 4096
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
# Users from here on own no file and no other process; nobody is what a container has at least.
_STRANGER, _NOBODY = 1_900_000_000, 65534


class Walls:
    """Builds the walls one by one: `unshare`, then in its child `move_in`, `drop` and
    `landlock`. Each says whether it stands; one that cannot be built is left out."""

    def __init__(self, libc: ctypes.CDLL, machine: str) -> None:
        self.libc, self._machine = libc, machine
        self._root = os.geteuid() == 0
        self._user, self._group = os.geteuid(), os.getegid()
        self._own_user, self._started = False, os.getpid()

    def die_with_parent(self) -> None:
        """Be killed when the parent ends; on Linux alone."""
        with contextlib.suppress(AttributeError):
            self.libc.prctl(_DIE_WITH_PARENT, 9, 0, 0, 0)

    def unshare(self) -> bool:
        """Namespaces for the children of this process; root without one for users, if it may."""
        if not hasattr(self.libc, "unshare"):
            return False
        if self._root and self.libc.unshare(_NEW_ALL) == 0:
            return True
        if self.libc.unshare(_NEW_USER | _NEW_ALL):
            return False
        self._own_user = True
        try:
            for name, text in (
                ("setgroups", "deny"),
                ("uid_map", f"0 {self._user} 1"),
                ("gid_map", f"0 {self._group} 1"),
            ):
                with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                    file.write(text)
        except OSError:
            return False
        return True

    def move_in(self, root: str, readable: Sequence[str], work: str, work_bytes: int) -> bool:
        """Make `root` (an empty folder) the root: `readable` paths in it that cannot be written,
        some devices, and an empty `work` in memory of so many bytes."""
        try:
            self._mount(None, "/", None, _RECURSIVE | _PRIVATE)
            self._mount("tmpfs", root, "tmpfs", _NO_SUID | _NO_DEVICES, "size=1m,mode=0755")
            for path in readable:
                self._bind(path, root + path)
            for path in DEVICES:
                self._bind(path, root + path, read_only=False)
            os.makedirs(root + work)
            options = f"size={work_bytes},nr_inodes={_WORK_FILES},mode=0777"
            self._mount("tmpfs", root + work, "tmpfs", _NO_SUID | _NO_DEVICES, options)
            os.chdir(root)
            self._call(self.libc.syscall(_PIVOT_ROOT[self._machine], b".", b"."))
            self._call(self.libc.umount2(b".", _DETACH))
            self._fix("/", recursive=False)
            os.chdir(work)
        except (OSError, KeyError):
            return False
        return True

    def _mount(
        self, source: str | None, at: str, kind: str | None, flags: int, options: str | None = None
    ) -> None:
        words = (None if one is None else one.encode() for one in (source, at, kind))
        data = None if options is None else options.encode()
        self._call(self.libc.mount(*words, ctypes.c_ulong(flags), data))

    def _bind(self, source: str, at: str, read_only: bool = True) -> None:
        if os.path.isdir(source):
            os.makedirs(at, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(at), exist_ok=True)
            os.close(os.open(at, os.O_CREAT | os.O_WRONLY, 0o644))
        self._mount(source, at, None, _BIND | _RECURSIVE)
        if read_only:
            self._fix(at)

    def _fix(self, at: str, recursive: bool = True) -> None:
        attributes = struct.pack("=QQQQ", _READ_ONLY_ATTRIBUTES, 0, 0, 0)
        flags = _AT_RECURSIVE if recursive else 0
        path, size = at.encode(), ctypes.c_size_t(len(attributes))
        self._call(self.libc.syscall(_MOUNT_SETATTR, -100, path, flags, attributes, size))

    def _call(self, returned: int) -> None:
        if returned:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def drop(self, moved: bool, threads: int) -> None:
        """Give up what this process may do: its user (where it has a root of its own, and is
        root outside), all capabilities, and any way to get them back; it dies with its parent.

        The threads of a user of its own are limited; those of others count with all else of
        theirs, so that a limit would fall on the wrong ones.
        """
        if moved and self._root and not self._own_user:
            os.setgroups([])
            resource.setrlimit(resource.RLIMIT_NPROC, (threads, threads))
            try:
                self._become(_STRANGER + self._started)
            except OSError:
                self._become(_NOBODY)
        with contextlib.suppress(AttributeError):  # no Linux
            header, none = struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", *[0] * 6)
            self.libc.capset(header, none)
            self.libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        self.die_with_parent()

    @staticmethod
    def _become(user: int) -> None:
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)

    def landlock(self, readable: Sequence[str], work: str) -> bool:
        """Let this process read `readable`, write below `work`, and reach no other file.

        Landlock's own rules also close TCP and abstract sockets and signals, where it has them.
        """
        try:
            version = self.libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
            if version < 1:
                return False
            rights = sum(right for since, right in _RIGHTS.items() if since <= version)
            told = struct.pack("=QQQ", rights, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
            told = told[: 24 if version >= 6 else 16 if version >= 4 else 8]
            size = ctypes.c_size_t(len(told))
            rules = self.libc.syscall(_LANDLOCK_CREATE, told, size, 0)
            for path in readable:
                folder = os.path.isdir(path)
                self._open_to(rules, path, _READ_FILE | (_READ_FOLDER if folder else 0))
            for path in DEVICES:
                self._open_to(rules, path, _READ_FILE | _WRITE_FILE)
            self._open_to(rules, work, rights & ~_EXECUTE)
            return bool(self.libc.syscall(_LANDLOCK_RESTRICT, rules, 0) == 0)
        except (OSError, AttributeError):
            return False

    def _open_to(self, rules: int, path: str, rights: int) -> None:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rule = struct.pack("=Qi", rights, handle)
            self._call(self.libc.syscall(_LANDLOCK_ADD, rules, 1, rule, 0))
        finally:
            os.close(handle)


def limit(limits: Mapping[str, int]) -> None:
    """Resource limits by their names in `resource`; one that this machine lacks is left out."""
    for name, most in limits.items():
        with contextlib.suppress(AttributeError, ValueError, OSError):
            kind = getattr(resource, name)
            hard = most + 1 if name == "RLIMIT_CPU" else most
            resource.setrlimit(kind, (most, hard))
