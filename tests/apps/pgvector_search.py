"""Retrieval of one's own: the nearest documents from pgvector by psycopg, in a transaction each."""

import argparse

import numpy
import psycopg
from pgvector.psycopg import register_vector

parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
parser.add_argument("--questions", type=int, default=5)
parser.add_argument("--slow-after", type=int, help="from this question on the search takes --slow seconds")
parser.add_argument("--slow", type=float, default=0.0)
args = parser.parse_args()

rng = numpy.random.default_rng(7)
url = f"host=127.0.0.1 port={args.port} user=postgres dbname=postgres sslmode=disable"
with psycopg.connect(url) as connection:
    connection.execute("create extension if not exists vector")
    register_vector(connection)
    connection.execute("create table documents (id int primary key, embedding vector(384))")
    with connection.cursor() as cursor:
        documents = [(n, vector) for n, vector in enumerate(rng.random((200, 384), dtype=numpy.float32))]
        cursor.executemany("insert into documents values (%s, %s)", documents)
    connection.commit()
    for n in range(args.questions):
        slow = args.slow if args.slow_after is not None and n >= args.slow_after else 0.0
        with connection.transaction():
            near = connection.execute(
                "select id, embedding from documents, (select pg_sleep(%s)) as pause order by embedding <-> %s limit 40",
                (slow, rng.random(384, dtype=numpy.float32)),
            )
            print(len(near.fetchall()))
