"""Clients that trust one certificate or authority of their own choice: GETs one after the other, each with a connection of its own."""

import argparse
import asyncio
import hashlib
import ssl

import aiohttp
import requests

parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("--calls", type=int, default=1)
parser.add_argument("--ca", help="with requests: the authority to trust")
parser.add_argument("--certificate", help="with aiohttp: the certificate to expect, by its fingerprint")
args = parser.parse_args()


def by_authority():
    for _ in range(args.calls):
        try:
            print(requests.get(args.url, verify=args.ca, timeout=30).status_code)
        except requests.exceptions.SSLError as error:
            print("failed:", "certificate verify failed" in str(error))


async def by_fingerprint():
    with open(args.certificate, encoding="ascii") as file:
        expected = hashlib.sha256(ssl.PEM_cert_to_DER_cert(file.read())).digest()
    for _ in range(args.calls):
        async with aiohttp.ClientSession(trust_env=True) as session:
            try:
                async with session.get(args.url, ssl=aiohttp.Fingerprint(expected)) as response:
                    print(response.status)
            except aiohttp.ServerFingerprintMismatch:
                print("failed: True")


if args.ca:
    by_authority()
else:
    asyncio.run(by_fingerprint())
