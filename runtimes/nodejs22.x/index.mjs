// The program of this runtime: AWS's client, with the function that the environment names.
import { run } from 'aws-lambda-ric';

await run(process.env.LAMBDA_TASK_ROOT, process.env._HANDLER);
