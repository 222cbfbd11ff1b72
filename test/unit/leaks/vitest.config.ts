import { mergeConfig } from 'vitest/config';
import base from '../../vitest.config.js';

/** For leaks.test.ts alone: the same checks over the files here that leak on purpose. */
const config = mergeConfig(base, {});
export default {
  ...config,
  test: { ...config.test, include: ['test/unit/leaks/leaves-*.ts'], reporters: ['default'] },
};
