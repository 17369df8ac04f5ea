"""RSA keys whose numbers belong together, but whose factors are not prime."""

import math
import random

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

EXPONENT = 65537


def composite_numbers(bits: int = 2048, exponent: int = EXPONENT) -> RSAPrivateNumbers:
    """Return the numbers of a key that looks like one until its factors are looked at."""
    p = _multiple(3, bits // 2, exponent)
    q = _multiple(5, bits // 2, exponent)
    while math.gcd(p, q) != 1:
        p, q = _multiple(3, bits // 2, exponent), _multiple(5, bits // 2, exponent)
    d = pow(exponent, -1, math.lcm(p - 1, q - 1))
    public = RSAPublicNumbers(exponent, p * q)
    return RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)


def pem_of(numbers: RSAPrivateNumbers) -> str:
    """Return the key's PEM, as Google's files have it."""
    key = numbers.private_key(unsafe_skip_rsa_key_validation=True)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _multiple(of: int, bits: int, exponent: int) -> int:
    """Return an odd number of so many bits that is certainly not prime, and fits the exponent."""
    top = 3 << (bits - 2)  # so that the product of two has all of its bits
    while True:
        number = top | random.getrandbits(bits) | 1
        if number % of == 0 and math.gcd(number - 1, exponent) == 1:
            return number
