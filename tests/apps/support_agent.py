"""An agent of one's own: retrieval by httpx, then the model with whatever is left of the budget.

A slow retrieval leaves next to nothing for the model call, so the error is raised there.
"""

import argparse
import time

import httpx
import openai

parser = argparse.ArgumentParser()
parser.add_argument("docs_url")
parser.add_argument("model_url")
parser.add_argument("--questions", type=int, default=1)
parser.add_argument("--budget", type=float, default=30.0, help="seconds for one question")
args = parser.parse_args()

docs = httpx.Client(base_url=args.docs_url, timeout=60.0)
model = openai.OpenAI(base_url=args.model_url, api_key="test-key", max_retries=0)


def answer(question):
    deadline = time.monotonic() + args.budget
    found = docs.get("/search", params={"q": question}).json()
    left = deadline - time.monotonic()
    completion = model.chat.completions.create(
        model="gpt-test",
        messages=[{"role": "system", "content": "\n".join(found["documents"])}, {"role": "user", "content": question}],
        timeout=max(left, 0.1),
    )
    return completion.choices[0].message.content


for n in range(args.questions):
    print(answer(f"question {n}"))
