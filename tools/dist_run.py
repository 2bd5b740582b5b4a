"""Start a tool in several processes, by torchrun: ``tools/dist_run.py GPUS TOOL [arguments]``.

``tools/dist_train.sh`` and ``tools/dist_test.sh`` call it. Environment variables, with defaults:

- ``NNODES`` (1), ``NODE_RANK`` (0), ``MASTER_ADDR`` (127.0.0.1), ``PORT`` (29500): the number of
  hosts, which one this is, and where the first one listens. A single host needs no port.
- ``MAX_RESTARTS`` (0): how often all processes are restarted after one has failed.
"""

import os
import signal
import socket
import struct
import sys
import time

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous import RendezvousConnectionError, RendezvousError

DEFAULTS = dict(NNODES='1', NODE_RANK='0', PORT='29500', MAX_RESTARTS='0')

REJOIN_TIMEOUT = 1800
"""Seconds that the hosts wait for one that has to come back."""


def rendezvous() -> list[str]:
    """Return torchrun's arguments for the place where the processes meet.

    Raises:
        SystemExit: If a variable of the environment is no number, or the port is taken.
    """
    hosts, host, port, restarts = map(_number, DEFAULTS)
    arguments = [f'--max-restarts={restarts}']
    # Each restart needs a new store. The old one still holds the addresses of dead processes, and
    # a host that comes back would wait in vain.
    os.environ.setdefault('TORCH_DISABLE_SHARE_RDZV_TCP_STORE', '1')
    if hosts == 1:
        return [*arguments, '--standalone', '--local-addr=127.0.0.1']
    master = _master()
    if host == 0:
        _check_port(port)
    address = _address_towards(master)
    # gloo would use the address of the host's own name, which /etc/hosts often maps to 127.0.1.1.
    if interface := _interface_of(address):
        os.environ.setdefault('GLOO_SOCKET_IFNAME', interface)
    arguments.append(f'--nnodes={hosts}')
    if restarts == 0:
        return [
            *arguments,
            f'--node-rank={host}',
            f'--master-addr={master}',
            f'--master-port={port}',
        ]
    if '--resume' not in sys.argv and sys.argv[2].endswith('train.py'):
        raise SystemExit(
            f'MAX_RESTARTS={restarts} on NNODES={hosts} hosts without --resume: a host that comes '
            'back would start the training anew; add --resume, which starts anew where the work '
            'dir has no checkpoint yet'
        )
    # When hosts meet again, torchrun ranks them by address and ignores NODE_RANK.
    return [
        *arguments,
        '--rdzv-backend=c10d',
        f'--rdzv-endpoint={master}:{port}',
        '--rdzv-id=cct_mm',
        f'--rdzv-conf=is_host={int(host == 0)},join_timeout={REJOIN_TIMEOUT}',
        f'--local-addr={master if host == 0 else address}',
    ]


def _number(name: str) -> int:
    value = os.environ.get(name, DEFAULTS[name])
    if not value.isdecimal():
        raise SystemExit(f'{name}={value} in the environment: expected a number')
    return int(value)


def _master() -> str:
    return os.environ.get('MASTER_ADDR', '127.0.0.1')


def _wait_for_first_host() -> None:
    """Wait until torchrun listens on the first host, which may have to come back."""
    master, port = _master(), _number('PORT')
    deadline = time.monotonic() + REJOIN_TIMEOUT
    while True:
        try:
            socket.create_connection((master, port), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise SystemExit(
                    f'MASTER_ADDR={master} PORT={port}: nobody has listened there for '
                    f'{REJOIN_TIMEOUT} s ({error}); start the same command on the host with '
                    'NODE_RANK=0, and look whether a firewall is in between'
                ) from None
            time.sleep(1)


def _check_port(port: int) -> None:
    """Check that this host can listen on a port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(('', port))
        except OSError as error:
            raise SystemExit(
                f'PORT={port}: this host cannot listen there ({error.strerror}); choose another '
                f'and give it on all hosts, as in PORT={port + 1}'
            ) from None


def _address_towards(host: str) -> str:
    """Return the address from which this host would talk to another, without sending anything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
        except OSError as error:
            raise SystemExit(
                f'MASTER_ADDR={host}: there is no way to it from this host ({error.strerror}); '
                'give the address of the host with NODE_RANK=0'
            ) from None
        return probe.getsockname()[0]


def _interface_of(address: str) -> str | None:
    """Return the name of the network interface that has an address, or None if not known."""
    if sys.platform != 'linux':
        return None
    import fcntl

    get_interface_address = 0x8915
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            request = struct.pack('256s', name.encode())
            try:
                answer = fcntl.ioctl(any_socket, get_interface_address, request)
            except OSError:
                # This interface has no address.
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    return None


def describe(error: ChildFailedError) -> str:
    """Say which process failed first, and the probable cause."""
    rank, failure = error.get_first_failure()
    causes = {
        signal.SIGKILL: "the out-of-memory killer (look at dmesg) or somebody's kill -9",
        signal.SIGBUS: 'no shared memory left (/dev/shm) for the loader',
        signal.SIGSEGV: 'a fault in native code',
        signal.SIGABRT: 'an abort in native code, such as a timeout of NCCL, see above',
        signal.SIGTERM: 'the end of a cluster job, or somebody asked it to end',
    }
    if failure.exitcode < 0:
        name = signal.Signals(-failure.exitcode).name
        cause = f'died of {name}: {causes.get(-failure.exitcode, "see above")}'
    else:
        cause = f'ended with exit code {failure.exitcode}: its error is above'
    return f'rank {rank} (process {failure.pid}) {cause}. All processes of this host were ended'


def how_to_go_on(tool: str) -> str:
    """Say how to resume a training."""
    if not tool.endswith('train.py'):
        return ''
    return '. ' + (
        f'It was restarted MAX_RESTARTS={_number("MAX_RESTARTS")} times; go on from the last '
        'checkpoint with --resume'
        if _number('MAX_RESTARTS')
        else 'Go on from the last checkpoint with --resume; MAX_RESTARTS=3 in the environment '
        'does so by itself, up to three times'
    )


def main() -> None:
    """Start the processes, and explain a failure."""
    processes, tool, *arguments = sys.argv[1:]
    command = [*rendezvous(), f'--nproc-per-node={processes}', tool, *arguments]
    restarts = _number('MAX_RESTARTS')
    for _ in range(restarts + 1):
        if _number('NODE_RANK') > 0:
            _wait_for_first_host()
        try:
            return run.run(run.parse_args(command))
        except ChildFailedError as error:
            raise SystemExit(f'{error}\n{describe(error)}{how_to_go_on(tool)}') from None
        except RendezvousConnectionError as error:
            # torchrun survives the failure of other hosts, but not of the first.
            print(f'The first host is gone: {error}', file=sys.stderr, flush=True)
        except RendezvousError as error:
            raise SystemExit(
                f'the hosts have not come together again: {error}; start the same command on all, '
                'with --resume'
            ) from None
    raise SystemExit(
        f'the first host was lost {restarts + 1} times, with MAX_RESTARTS={restarts}; start the '
        'same command on all hosts, with --resume'
    )


if __name__ == '__main__':
    main()
