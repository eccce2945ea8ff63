"""Which system calls generated code may make: a seccomp filter, built here and laid on itself."""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator

# Of each call the number on x86-64 and on aarch64 (None: it has no such call), from
# asm/unistd_64.h and asm-generic/unistd.h. All that start a process, reach another one or the
# network, keep memory that no limit counts, or are for whoever runs the machine.
_DENIED: dict[str, tuple[int, int | None]] = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "kill": (62, 129), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "prctl": (157, 167), "seccomp": (317, 277),
    "memfd_create": (319, 279), "shmget": (29, 194), "shmat": (30, 196), "semget": (64, 190),
    "msgget": (68, 186), "mq_open": (240, 180), "setrlimit": (160, 164),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    "quotactl": (179, 60), "syslog": (103, 116), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "sethostname": (170, 161), "setdomainname": (171, 162), "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264), "personality": (135, 92), "iopl": (172, None),
    "ioperm": (173, None), "modify_ldt": (154, None), "setpriority": (141, 140),
    "ioprio_set": (251, 30), "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274), "migrate_pages": (256, 238),
    "move_pages": (279, 239), "lookup_dcookie": (212, 18), "vhangup": (153, 58),
    "fanotify_init": (300, 262),
}  # fmt: skip
_CLONE, _TGKILL, _PRLIMIT, _SOCKETPAIR = (56, 220), (234, 131), (302, 261), (53, 199)
_SECCOMP = (317, 277)
# Those that have a signal sent to another process when a file of ours is ready: F_SETOWN, F_SETSIG
# and F_SETOWN_EX of fcntl; FIOSETOWN and SIOCSPGRP of ioctl.
_OWNERS = (((72, 25), (8, 10, 15)), ((16, 29), (0x8901, 0x8902)))
# Calls from this number on are the same everywhere, and new ones come every year: those few that
# a program may need are let through, and the others do not exist.
_FIRST_SHARED, _SHARED = 424, (436, 437, 439, 441)  # close_range openat2 faccessat2 epoll_pwait2
# The machine's name in the kernel's audit, and its column above.
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

# linux/bpf_common.h and linux/seccomp.h.
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_EQUAL, _AT_LEAST, _ANY_BIT = 0x15, 0x35, 0x45
_NUMBER, _ARCH, _ARGUMENT = 0, 4, (16, 24, 32)
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_THREAD, _STREAM = 0x10000, 1
_SET_MODE_FILTER, _NO_NEW_PRIVILEGES = 1, 38


def program(machine: str, pid: int) -> bytes | None:
    """The filter for a process of this id; None for a machine whose numbers are not known.

    Threads are allowed, processes are not; a signal goes to itself alone, limits are its own, a
    pair of sockets is one of streams, which can be joined to nothing else. No file of its own
    tells another process of anything.
    """
    if machine not in _MACHINES:
        return None
    arch, column = _MACHINES[machine]
    refuse, absent = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    lines = [(_LOAD, 0, 0, _ARCH), (_EQUAL, 1, 0, arch), (_RETURN, 0, 0, _KILL)]
    lines += [(_LOAD, 0, 0, _NUMBER), (_AT_LEAST, 0, len(_SHARED) * 2 + 1, _FIRST_SHARED)]
    for number in _SHARED:
        lines += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    lines.append((_RETURN, 0, 0, absent))
    for numbers in _DENIED.values():
        if (found := numbers[column]) is not None:
            lines += [(_EQUAL, 0, 1, found), (_RETURN, 0, 0, refuse)]
    lines += _by_argument(column, pid, refuse)
    lines.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def _by_argument(column: int, pid: int, refuse: int) -> Iterator[tuple[int, int, int, int]]:
    """Of the calls that hang on an argument: each ends in a verdict."""
    clone, tgkill, prlimit, pair = (n[column] for n in (_CLONE, _TGKILL, _PRLIMIT, _SOCKETPAIR))
    for number, argument, mask, (test, wanted) in (
        (clone, 0, None, (_ANY_BIT, _THREAD)),
        (tgkill, 0, None, (_EQUAL, pid)),
        (prlimit, 0, None, (_EQUAL, 0)),
        (pair, 1, 0xF, (_EQUAL, _STREAM)),
    ):
        body = [(_LOAD, 0, 0, _ARGUMENT[argument])]
        body += [] if mask is None else [(_AND, 0, 0, mask)]
        body += [(test, 0, 1, wanted), (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, refuse)]
        yield from ((_EQUAL, 0, len(body), number), *body)
    for numbers, commands in _OWNERS:
        body = [(_LOAD, 0, 0, _ARGUMENT[1])]
        for command in commands:
            body += [(_EQUAL, 0, 1, command), (_RETURN, 0, 0, refuse)]
        body.append((_RETURN, 0, 0, _ALLOW))
        yield from ((_EQUAL, 0, len(body), numbers[column]), *body)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_char_p))


def lay_filter(libc: ctypes.CDLL) -> bool:
    """Lay the filter on every thread of this process, for good; False where there is none."""
    made = program(platform.machine(), os.getpid())
    if made is None or not hasattr(libc, "prctl") or libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    held = _Program(len(made) // 8, made)
    number = _SECCOMP[_MACHINES[platform.machine()][1]]
    return bool(libc.syscall(number, _SET_MODE_FILTER, 0, ctypes.byref(held)) == 0)
