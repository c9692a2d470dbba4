"""The PKCS#11 libraries that have names here, where they lie, and what each needs.

``module-name`` in a URI is a name of this table; ``module-path`` is any other library. Without either, p11-kit's proxy
is taken, which leads to every library that the machine has registered (p11-kit(8), pkcs11.conf(5)).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from drivers.keys.pkcs11.cryptoki import Library
from drivers.keys.pkcs11.uri import Pkcs11Uri
from gateway.errors import ConfigError, SignerError
from gateway.signing import Algorithm

#: Every algorithm, in the order in which a new key gets one.
ALGORITHMS = (Algorithm.ED25519, Algorithm.ECDSA_P256, Algorithm.ECDSA_SECP256K1)
DEFAULT_MODULE = "p11-kit"
#: Where Debian and vendors put libraries; the star is the machine's triplet, such as arm-linux-gnueabihf.
_FOLDERS = ("usr/lib/*/pkcs11", "usr/lib/*/softhsm", "usr/lib/softhsm", "usr/lib/pkcs11", "usr/lib/*", "usr/local/lib")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs11Module:
    """One library."""

    #: File names, the best first.
    files: tuple[str, ...]
    #: How it gets onto the machine.
    remedy: str
    #: What has to be set for it.
    note: str = ""
    #: What its tokens can do at most; their list of mechanisms says what this one does.
    algorithms: tuple[Algorithm, ...] = ALGORITHMS
    #: The most bytes of CKA_ID; too few of them to note what a key is made for.
    id_bytes_max: int = 255


MODULES: dict[str, Pkcs11Module] = {
    "softhsm2": Pkcs11Module(
        files=("libsofthsm2.so",),
        remedy="apt-get install softhsm2",
        note="keys are files of its token directory: for development; SOFTHSM2_CONF names its configuration",
    ),
    "optee": Pkcs11Module(
        files=("libckteec.so.0", "libckteec.so"),
        remedy="apt-get install optee-client, where the release has it, or add it to the board's image",
        note="needs tee-supplicant running, and the PKCS#11 application in the board's OP-TEE",
        algorithms=(Algorithm.ED25519, Algorithm.ECDSA_P256),
    ),
    "tpm2-pkcs11": Pkcs11Module(
        files=("libtpm2_pkcs11.so.1", "libtpm2_pkcs11.so"),
        remedy="apt-get install libtpm2-pkcs11-1",
        note="TPM2_PKCS11_STORE names its store, TPM2_PKCS11_TCTI the TPM; tpm2_ptool makes the token",
        algorithms=(Algorithm.ECDSA_P256,),
    ),
    "yubihsm": Pkcs11Module(
        files=("yubihsm_pkcs11.so",),
        remedy="install yubihsm-pkcs11 of the vendor",
        note="YUBIHSM_PKCS11_CONF names its configuration; the PIN is four digits of the authentication key's id and "
        "its password",
        id_bytes_max=2,
    ),
    "se05x": Pkcs11Module(
        files=("libsss_pkcs11.so",),
        remedy="install the Plug & Trust middleware of NXP",
        note="EX_SSS_BOOT_SSS_PORT names the bus",
    ),
    "nitrokey": Pkcs11Module(
        files=("opensc-pkcs11.so",),
        remedy="apt-get install opensc-pkcs11",
        note="needs pcscd running; three wrong PINs lock the token",
        algorithms=(Algorithm.ECDSA_P256, Algorithm.ECDSA_SECP256K1),
    ),
    "nethsm": Pkcs11Module(
        files=("libnethsm_pkcs11.so",),
        remedy="install nethsm-pkcs11 of the vendor",
        note="P11NETHSM_CONFIG_FILE names its configuration",
    ),
    "p11-kit": Pkcs11Module(
        files=("p11-kit-proxy.so",),
        remedy="apt-get install libp11-kit0",
        note="the libraries themselves are registered in /usr/share/p11-kit/modules",
    ),
}


def module_of(uri: Pkcs11Uri) -> Pkcs11Module:
    """What is known of the library that *uri* names. Raises ConfigError for a name that is not in the table."""
    if uri.module_path is not None:
        return Pkcs11Module(files=(uri.module_path,), remedy="check module-path")
    name = uri.module_name or DEFAULT_MODULE
    if name not in MODULES:
        raise ConfigError(
            f"key {uri.text()}: module-name {name!r} is unknown; known are {', '.join(MODULES)}; or write module-path="
        )
    return MODULES[name]


def load_module(uri: Pkcs11Uri, root: Path = Path("/")) -> Library:
    """The library that *uri* names, looked for under *root* and then where the loader looks.

    Raises ConfigError as ``module_of``, SignerError when the library is missing or broken.
    """
    module = module_of(uri)
    faults: list[str] = []
    for candidate in _candidates(module, root):
        try:
            return _loaded(candidate)
        except OSError as error:
            faults.append(str(error))
    note = f" ({module.note})" if module.note else ""
    fault = next((fault for fault in faults if "No such file" not in fault), "not found")
    raise SignerError(f"key {uri.text()}: library {module.files[0]}: {fault}; {module.remedy}{note}")


@cache
def _loaded(path: str) -> Library:
    """The one object for a library: the loader as well gives a process each library once, and for ever.

    p11-kit's client would open another connection for each, and has room for 64 of them.
    """
    return Library(path)


def _candidates(module: Pkcs11Module, root: Path) -> list[str]:
    found = [
        str(path)
        for name in module.files
        if not name.startswith("/")
        for folder in _FOLDERS
        for path in sorted(root.glob(f"{folder}/{name}"))
    ]
    return [*found, *module.files]
