// Lets `import` find what only NODE_PATH names: layers and the image's own SDK, as Lambda's Node.js
// does. Node itself looks there for `require` alone. Loaded before the runtime interface client.
import { registerHooks } from 'node:module';
import { dirname } from 'node:path';
import { pathToFileURL } from 'node:url';

// Of NODE_PATH, the folders named node_modules: a module beside one of them would find what is in it.
const parents = (process.env.NODE_PATH ?? '')
  .split(':')
  .filter((folder) => folder.endsWith('/node_modules'))
  .map((folder) => pathToFileURL(`${dirname(folder)}/module.mjs`).href);

const bare = (specifier) => !/^(\.{0,2}\/|[a-z]+:)/.test(specifier);

registerHooks({
  resolve(specifier, context, next) {
    try {
      return next(specifier, context);
    } catch (error) {
      if (error.code !== 'ERR_MODULE_NOT_FOUND' || !bare(specifier)) throw error;
      for (const parentURL of parents) {
        try {
          return next(specifier, { ...context, parentURL });
        } catch (other) {
          if (other.code !== 'ERR_MODULE_NOT_FOUND') throw other;
        }
      }
      throw error;
    }
  },
});
