#!/usr/bin/env python3
"""Writes vectors.h: known answers computed by an implementation that shares no code with the module.

    make_vectors.py ALICE.pem BOB.pem > vectors.h

Hashes are Python's hashlib, certificates and RSA those of python3-cryptography, XChaCha20-Poly1305 is put together here from
HChaCha20 as draft-irtf-cfrg-xchacha-03 describes it. Not part of the build: the vectors are kept, so that a change of any
byte form shows as a failing test. BOB.pem is the key of Project Wycheproof's rsa_oaep_3072_sha256_mgf1sha256_test.json."""

import datetime
import hashlib
import os
import struct
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

RING = bytes(range(32))
NODE_SEED = bytes(range(32, 64))
NAMES = (b"alice", "zo\u00eb.m".encode())
MSG_ID = bytes(range(0xE0, 0xF0))
PLAIN = b"The ring closes, and nothing that was said is lost."


def blake(domain, data, n=32):
    return hashlib.blake2b(data, digest_size=n, person=domain.encode()).digest()


def subkey(ring, number):
    """libsodium's crypto_kdf: BLAKE2b with the key, the number as salt and the context as personalisation."""
    return hashlib.blake2b(
        b"", digest_size=32, key=ring, salt=struct.pack("<QQ", number, 0), person=b"pealring"
    ).digest()


def successor(before, before_seed, rsa, seed, number):
    """before: the bundle that comes before it."""
    spki = rsa.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    body = b"\x02" + struct.pack(">I", len(spki)) + spki
    body += raw_public(Ed25519PrivateKey.from_private_bytes(seed)) + struct.pack(">I", number)
    body += blake("peal.bundle.1", before)
    body += sign(before_seed, "peal.succeed.1", body)
    return body + sign(seed, "peal.bundle.1", body)


def safety(*sides):
    """sides: (name, bundle) each."""
    blocks = []
    for name, b in sides:
        d = blake("peal.safety.1", part(name) + part(b))
        blocks.append("".join(f"{int.from_bytes(d[i : i + 5], 'big') % 100000:05d}" for i in range(0, 30, 5)))
    return "".join(sorted(blocks))


def hchacha20(key, nonce):
    s = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))

    def quarter(a, b, c, d):
        for x, y, z, r in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xFFFFFFFF
            v = s[z] ^ s[x]
            s[z] = ((v << r) | (v >> (32 - r))) & 0xFFFFFFFF

    for _ in range(10):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<8I", *s[:4], *s[12:])


def xchacha_seal(key, nonce, plain, aad):
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], plain, aad)


def raw_public(key):
    return key.public_key().public_bytes(
        serialization.Encoding.Raw, serialization.PublicFormat.Raw
    )


def sign(seed, domain, message):
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return key.sign(bytes([len(domain)]) + domain.encode() + message)


def part(b):
    return struct.pack(">Q", len(b)) + b


def bundle(rsa, seed):
    spki = rsa.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    body = b"\x01" + struct.pack(">I", len(spki)) + spki
    body += raw_public(Ed25519PrivateKey.from_private_bytes(seed))
    return body + sign(seed, "peal.bundle.1", body)


def envelope(alice, bob):
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    key, nonce = os.urandom(32), os.urandom(24)
    head = b"\x01"
    head += blake("peal.bundle.1", bundle(*alice)) + blake("peal.bundle.1", bundle(*bob))
    head += bob[0].public_key().encrypt(key, oaep) + alice[0].public_key().encrypt(key, oaep)
    head += nonce
    digest = blake("peal.envelope.1", head + MSG_ID + part(NAMES[0]) + part(NAMES[1]))
    padded = PLAIN + b"\x80" + bytes(255 - len(PLAIN))
    sealed = xchacha_seal(key, nonce, padded, digest)
    text = digest + blake("peal.sealed.1", sealed)
    return head + struct.pack(">I", len(sealed)) + sealed + sign(alice[1], "peal.envelope.1", text)


def certificate(pub, cn, serial, extensions, signer):
    def name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    b = x509.CertificateBuilder().subject_name(name(cn)).issuer_name(name("Peal ring"))
    b = b.public_key(pub).serial_number(serial)
    b = b.not_valid_before(datetime.datetime(2020, 1, 1))
    b = b.not_valid_after(datetime.datetime(9999, 12, 31, 23, 59, 59))
    for ext, critical in extensions:
        b = b.add_extension(ext, critical)
    return b.sign(signer, None).public_bytes(serialization.Encoding.DER)


def usage(**on):
    kinds = "digital_signature content_commitment key_encipherment data_encipherment key_agreement"
    kinds += " key_cert_sign crl_sign encipher_only decipher_only"
    return x509.KeyUsage(**{k: k in on for k in kinds.split()})


def certificates():
    ca = Ed25519PrivateKey.from_private_bytes(subkey(RING, 1))
    node = Ed25519PrivateKey.from_private_bytes(NODE_SEED).public_key()
    ski = x509.SubjectKeyIdentifier.from_public_key
    aki = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key())
    ca_der = certificate(
        ca.public_key(),
        "Peal ring",
        1,
        [
            (x509.BasicConstraints(True, 0), True),
            (usage(key_cert_sign=1), True),
            (ski(ca.public_key()), False),
        ],
        ca,
    )
    raw = node.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    node_id = blake("peal.node.1", raw, 20)
    serial = bytes([(node_id[0] & 0x3F) | 0x40]) + node_id[1:16]
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    node_der = certificate(
        node,
        node_id.hex(),
        int.from_bytes(serial, "big"),
        [
            (x509.BasicConstraints(False, None), True),
            (usage(digital_signature=1), True),
            (x509.ExtendedKeyUsage(both), False),
            (ski(node), False),
            (aki, False),
        ],
        ca,
    )
    return ca_der, node_der, node_id


def main():
    rsa = []
    for path in sys.argv[1:3]:
        with open(path, "rb") as f:
            rsa.append(serialization.load_pem_private_key(f.read(), None))
    alice, bob = (rsa[0], b"A" * 32), (rsa[1], b"B" * 32)
    ca, node, node_id = certificates()
    spki = x509.load_der_x509_certificate(ca).public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    nonce = bytes(range(24))
    beacon = b"PEAL\x01"
    beacon += nonce + xchacha_seal(subkey(RING, 2), nonce, b"here I am", b"PEAL\x01")

    print("/* vectors: written by make_vectors.py. The private keys are for tests alone. */")
    print("#ifndef PEAL_CRYPTO_VECTORS_H\n#define PEAL_CRYPTO_VECTORS_H\n")

    def put(name, data):
        text = data.hex()
        print(f"#define {name} \\")
        rows = [text[i : i + 88] for i in range(0, len(text), 88)]
        print(" \\\n".join(f'    "{r}"' for r in rows))

    for who, key in (("ALICE", rsa[0]), ("BOB", rsa[1])):
        put(
            f"V_{who}_RSA",
            key.private_bytes(
                serialization.Encoding.DER,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            ),
        )
    put("V_BOB_BUNDLE", bundle(*bob))
    second = successor(bundle(*bob), bob[1], rsa[0], b"C" * 32, 1)
    put("V_BOB_SECOND", second)
    put("V_BOB_THIRD", successor(second, b"C" * 32, rsa[1], b"D" * 32, 2))
    put("V_BOB_FP", blake("peal.bundle.1", bundle(*bob)))
    print(f'#define V_SAFETY "{safety((NAMES[0], bundle(*alice)), (NAMES[1], bundle(*bob)))}"')
    put("V_ACCOUNT_ALICE", blake("peal.account.1", b"alice", 20))
    put("V_DIGEST_ABC", blake("peal.test.1", b"abc"))
    put("V_DIGEST_PARTS", blake("peal.test.1", part(b"ab") + part(b"") + part(b"c")))
    put("V_SIG_ABC", sign(NODE_SEED, "peal.test.1", b"abc"))
    put("V_NODE_ID", node_id)
    put("V_BEACON_KEY", subkey(RING, 2))
    put("V_BEACON", beacon)
    put("V_CA", ca)
    put("V_NODE_CERT", node)
    put("V_CA_FP", hashlib.sha256(spki).digest())
    put("V_ENVELOPE", envelope(alice, bob))
    print("\n#endif")


main()
