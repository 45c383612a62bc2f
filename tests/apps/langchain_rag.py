"""A LangChain RAG chain: documents from a Chroma server with given embeddings, answered by ChatOpenAI."""

import argparse

import chromadb
from chromadb.config import Settings
from langchain_chroma import Chroma
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_openai import ChatOpenAI

parser = argparse.ArgumentParser()
parser.add_argument("chroma_port", type=int)
parser.add_argument("model_url")
parser.add_argument("--questions", type=int, default=1)
parser.add_argument("--model-timeout", type=float, default=30.0)
args = parser.parse_args()

server = chromadb.HttpClient(host="127.0.0.1", port=args.chroma_port, settings=Settings(anonymized_telemetry=False))
store = Chroma(client=server, collection_name="support", embedding_function=DeterministicFakeEmbedding(size=16))
store.add_texts([f"Order {n} is on its way." for n in range(20)], ids=[str(n) for n in range(20)])

prompt = ChatPromptTemplate.from_template("Answer from these notes: {notes}\nQuestion: {question}")
model = ChatOpenAI(
    base_url=args.model_url, api_key="test-key", model="gpt-test", timeout=args.model_timeout, max_retries=0
)
chain = {"notes": store.as_retriever(), "question": RunnablePassthrough()} | prompt | model | StrOutputParser()

for n in range(args.questions):
    print(chain.invoke(f"Where is order {n}?"))
