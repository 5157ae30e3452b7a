"""A FastAPI application behind Mangum, as its users deploy it."""

from fastapi import FastAPI, Request, Response
from mangum import Mangum
from pydantic import BaseModel

app = FastAPI()


class Rectangle(BaseModel):
    length: float
    width: float


@app.get("/things/{name}")
def thing(name: str, request: Request) -> dict[str, object]:
    words = request.query_params.getlist("q")
    return {"name": name, "q": words, "agent": request.headers["user-agent"]}


@app.post("/area", status_code=201)
def area(rectangle: Rectangle) -> dict[str, float]:
    return {"area": rectangle.length * rectangle.width}


@app.get("/picture")
def picture() -> Response:
    answer = Response(bytes(range(256)), media_type="image/png")
    answer.set_cookie("seen", "1")
    return answer


handler = Mangum(app, lifespan="off")
