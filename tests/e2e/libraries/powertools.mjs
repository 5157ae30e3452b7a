// Powertools for TypeScript as its users have it; its parameters come from a store of this process.
import { createServer } from 'node:http';
import { once } from 'node:events';
import { Logger } from '@aws-lambda-powertools/logger';
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import { Tracer } from '@aws-lambda-powertools/tracer';
import { getParameter } from '@aws-lambda-powertools/parameters/ssm';

const store = createServer((request, response) => {
  let text = '';
  request.on('data', (piece) => { text += piece; });
  request.on('end', () => {
    const { Name } = JSON.parse(text);
    response.setHeader('Content-Type', 'application/x-amz-json-1.1');
    response.end(JSON.stringify({ Parameter: { Name, Type: 'String', Value: '7', Version: 1 } }));
  });
}).listen(0, '127.0.0.1');
await once(store, 'listening');
store.unref();
process.env.AWS_ENDPOINT_URL_SSM = `http://127.0.0.1:${store.address().port}`;

const logger = new Logger({ serviceName: 'area' });
const metrics = new Metrics({ namespace: 'Area', serviceName: 'area' });
const tracer = new Tracer({ enabled: false });

export const handler = async (event, context) => {
  logger.addContext(context);
  metrics.captureColdStartMetric();
  const width = Number(await getParameter('/area/width'));
  await tracer.provider.captureAsyncFunc('compute', async () => {});
  metrics.addMetric('Rectangles', MetricUnit.Count, 1);
  logger.info('computed');
  metrics.publishStoredMetrics();
  return event.length * width;
};
