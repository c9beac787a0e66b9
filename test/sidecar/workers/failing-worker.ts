/** A worker of a test's own: it does not even start. */
throw new Error('made to fail');
