"""What stands between a mirror and us: certificates, proxies, wrong addresses, no network. It is named."""

import re
import socket

import pytest
from mnist_server import CERTIFICATES, compressed, entries, mirror, use_mirrors

from magnet_helpers.data import DataError, loading
from magnet_helpers.data.mnist_files import read_mnist


@pytest.fixture
def open_network(monkeypatch):
    """No address is exempt from proxies."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)


def failure(folder):
    """Return the one line about the one mirror."""
    with pytest.raises(DataError, match=r"MAGNET_DATA .*MAGNET_DATASET=digits") as raised:
        read_mnist()
    assert entries(folder) == []
    _, line, _ = str(raised.value).splitlines()
    assert "secret" not in line
    return line


CERTIFICATES_REFUSED = {
    "self_signed.pem": (None, "self.signed certificate"),
    "expired.pem": ("expired.pem", "certificate has expired"),
    "other_name.pem": ("other_name.pem", "not valid for '127.0.0.1'"),
}


@pytest.mark.parametrize("certificate", CERTIFICATES_REFUSED)
def test_a_certificate_that_is_not_trusted_is_named(certificate, monkeypatch, folder, small):
    trusted, reason = CERTIFICATES_REFUSED[certificate]
    if trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATES / trusted))
    with mirror(compressed(small), certificate=certificate) as server:
        use_mirrors(monkeypatch, server)
        line = failure(folder)
        assert server.asked == []
    assert re.search(rf"certificate that is not trusted \(.*{reason}.*clock.*REQUESTS_CA_BUNDLE", line)


def test_a_certificate_that_is_named_is_trusted(monkeypatch, folder, small):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATES / "self_signed.pem"))
    with mirror(compressed(small), certificate="self_signed.pem") as server:
        use_mirrors(monkeypatch, server)
        read_mnist()
    assert entries(folder) == sorted(compressed(small))


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_certificates_that_is_none(content, monkeypatch, folder, small, tmp_path):
    bundle = tmp_path / "bundle.pem"
    if content:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with mirror(compressed(small), certificate="self_signed.pem") as server:
        use_mirrors(monkeypatch, server)
        line = failure(folder)
    assert re.search("certificate.*" + ("REQUESTS_CA_BUNDLE" if content else "bundle.pem"), line)


def test_a_mirror_that_does_not_speak_https(monkeypatch, folder, small):
    with mirror(compressed(small)) as server:
        monkeypatch.setenv("MAGNET_MNIST_MIRRORS", server.url.replace("http:", "https:"))
        assert "could not be reached safely (wrong version number" in failure(folder).lower()


@pytest.mark.usefixtures("open_network")
def test_a_proxy_that_wants_a_password(monkeypatch, folder, small):
    with mirror({}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//somebody:secret@"))
        monkeypatch.setenv("MAGNET_MNIST_MIRRORS", "https://127.0.0.1:9/")
        line = failure(folder)
    assert "through a proxy, which refused: 407 Proxy Authentication Required; correct HTTPS_PROXY" in line


@pytest.mark.usefixtures("open_network")
@pytest.mark.parametrize(
    "proxy",
    [
        *("http://somebody:secret@127.0.0.1:9", "http://", "::::", "http://somebody:secret@:99999"),
        *("http://somebody:sec ret@[x", "socks5://127.0.0.1:9", "ftp://127.0.0.1:9"),
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_none(scheme, proxy, monkeypatch, folder, small):
    monkeypatch.setenv(f"{scheme}_proxy", proxy)
    monkeypatch.setenv("MAGNET_MNIST_MIRRORS", f"{scheme}://127.0.0.1:9/")
    line = failure(folder)
    assert re.search("proxy.*correct HTTPS_PROXY and HTTP_PROXY", line)
    assert "sec ret" not in line


@pytest.mark.parametrize("address", ["nonsense", "http:///x", "http://.example/", f"http://{'a' * 80}.example/", "x:y"])
def test_an_address_that_is_none(address, monkeypatch, folder, small):
    monkeypatch.setenv("MAGNET_MNIST_MIRRORS", address)
    assert f"{address} could not be asked: " in failure(folder)


def test_without_a_network_the_name_is_not_known(monkeypatch, folder, small):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("MAGNET_MNIST_MIRRORS", "https://mirror.example/")
    assert "https://mirror.example/ could not be reached: its name is not known here" in failure(folder)
    with pytest.warns(UserWarning, match="(?s)digits in place of MNIST.*its name is not known here"):
        assert loading._mnist_if_possible() is None


def test_addresses_that_lead_in_a_circle(monkeypatch, folder, small):
    with mirror(compressed(small), "loop") as server:
        use_mirrors(monkeypatch, server)
        assert "one address led to the next: this network may want you to log in" in failure(folder)
