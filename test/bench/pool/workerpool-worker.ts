/** A worker of workerpool: the handlers, as it wants them registered. */
import workerpool from 'workerpool';
import handlers from './handlers.js';

workerpool.worker(handlers);
