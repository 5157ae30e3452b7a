// AWS SDK for JavaScript v3: create, invoke, stream, errors. Prints what it saw as JSON.
// Arguments: the function's name, a zip, an ARN of a role.
import { readFile } from "node:fs/promises";
import {
  CreateFunctionCommand, GetFunctionCommand, InvokeCommand, InvokeWithResponseStreamCommand,
  LambdaClient, ListFunctionsCommand, ResourceNotFoundException, waitUntilFunctionActiveV2,
} from "@aws-sdk/client-lambda";

const [name, zip, role] = process.argv.slice(2);
const client = new LambdaClient({ maxAttempts: 1 });
const created = await client.send(new CreateFunctionCommand({
  FunctionName: name, Runtime: "python3.13", Handler: "app.handler", Role: role,
  Code: { ZipFile: await readFile(zip) },
}));
await waitUntilFunctionActiveV2({ client, maxWaitTime: 60, minDelay: 1 }, { FunctionName: name });
const answer = await client.send(new InvokeCommand({
  FunctionName: name, Payload: JSON.stringify({ a: 1 }), LogType: "Tail",
}));
const streamed = await client.send(new InvokeWithResponseStreamCommand({
  FunctionName: name, Payload: JSON.stringify({ a: 2 }),
}));
let text = "", complete = false;
for await (const event of streamed.EventStream) {
  if (event.PayloadChunk) text += new TextDecoder().decode(event.PayloadChunk.Payload);
  if (event.InvokeComplete) complete = true;
}
let missing = "";
try {
  await client.send(new GetFunctionCommand({ FunctionName: `${name}-missing` }));
} catch (error) {
  missing = error instanceof ResourceNotFoundException ? error.name : `not bound: ${error}`;
}
const { Functions } = await client.send(new ListFunctionsCommand({}));
console.log(JSON.stringify({
  state: created.State,
  status: answer.StatusCode,
  answer: JSON.parse(new TextDecoder().decode(answer.Payload)),
  tail: atob(answer.LogResult).includes("REPORT"),
  streamed: JSON.parse(text),
  complete,
  missing,
  listed: Functions.some((each) => each.FunctionName === name),
}));
