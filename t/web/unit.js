/*
 * All tests of the JavaScript client that run inside the browser.
 */

import './packet.js';
import './client.js';
import './recover.js';
import './errors.js';
import './im.js';
import { runAll } from './lib.js';

runAll();
