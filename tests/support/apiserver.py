"""The API server of the integration tests: real etcd and kube-apiserver, started in four seconds.

Everything is in `tools.cluster.apiserver`, because `python -m tools.cluster apiserver` runs the
same by hand. In a `conftest.py`:

    @pytest.fixture(scope="session")
    def apiserver() -> Iterator[ApiServer]:
        with running_apiserver() as server:
            yield server
"""

from tools.cluster.apiserver import ApiServer, free_ports, running_apiserver

__all__ = ["ApiServer", "free_ports", "running_apiserver"]
