// An Express application behind its adapter, as its users deploy it.
import express from 'express';
import serverless from 'serverless-http';

const app = express();
app.use(express.json());
app.get('/things/:name', (request, response) => {
  response.json({
    name: request.params.name, q: [request.query.q].flat(), agent: request.get('user-agent'),
  });
});
app.post('/area', (request, response) => {
  response.status(201).json({ area: request.body.length * request.body.width });
});
app.get('/picture', (request, response) => {
  response.cookie('seen', '1').type('png').send(Buffer.from(Array.from({ length: 256 }, (_, n) => n)));
});

export const handler = serverless(app, { binary: ['image/*'] });
