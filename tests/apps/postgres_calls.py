"""PostgreSQL by psycopg, psycopg2 or asyncpg: a statement some times on one connection, or on several at once."""

import argparse
import asyncio
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("client", choices=["psycopg", "psycopg2", "asyncpg"])
parser.add_argument("port", type=int)
parser.add_argument("--sql", default="select 1")
parser.add_argument("--calls", type=int, default=1)
parser.add_argument("--connections", type=int, default=1, help="held open all at once")
parser.add_argument("--retry-after", type=float, help="try once more to connect after so many seconds")
parser.add_argument("--password")
parser.add_argument("--ca", help="speak TLS, and trust this authority")
parser.add_argument("--statement-timeout", type=int, default=0, help="milliseconds, kept by the server")
parser.add_argument("--cancel-after", type=float, help="seconds, kept by the client")
args = parser.parse_args()

host = {"host": "127.0.0.1", "port": args.port, "user": "postgres", "password": args.password}
options = f"-c statement_timeout={args.statement_timeout}"


def libpq(client):
    tls = {"sslmode": "verify-full", "sslrootcert": args.ca} if args.ca else {"sslmode": "disable"}
    return client.connect(dbname="postgres", options=options, **host, **tls)


def connect(client):
    try:
        return libpq(client)
    except client.OperationalError:
        if args.retry_after is None:
            raise
    time.sleep(args.retry_after)
    return libpq(client)


def blocking(client):
    connections = [connect(client) for _ in range(args.connections)]
    connection = connections[0]
    connection.autocommit = True
    cursor = connection.cursor()
    for _ in range(args.calls):
        if args.cancel_after is not None:
            threading.Timer(args.cancel_after, connection.cancel).start()
        cursor.execute(args.sql)
        print(cursor.fetchall()[0])
    for connection in connections:
        connection.close()


async def on_asyncio():
    import asyncpg
    import ssl

    tls = ssl.create_default_context(cafile=args.ca) if args.ca else False
    settings = {"statement_timeout": str(args.statement_timeout)}
    connect = lambda: asyncpg.connect(database="postgres", ssl=tls, server_settings=settings, **host)
    connections = [await connect() for _ in range(args.connections)]
    for _ in range(args.calls):
        print(tuple((await connections[0].fetch(args.sql, timeout=args.cancel_after))[0]))
    for connection in connections:
        await connection.close()


if args.client == "asyncpg":
    asyncio.run(on_asyncio())
elif args.client == "psycopg2":
    import psycopg2

    blocking(psycopg2)
else:
    import psycopg

    blocking(psycopg)
