package role

// Redis returns what a role may do in Redis, as rules of one user's ACL, in
// order: the installation's prefix picks the keys. In parentheses stand
// selectors, which came with Redis 7: what they allow holds for their own keys
// alone, so that a worker can't write facts, and nobody can look into another
// installation. A reader has no business there, since Redis holds no truth.
func (r Role) Redis(prefix string) []Rule {
	tag, queues := "{carillon}:", [2]string{"asynq:{flows}:*", "asynq:{broadcasts}:*"}
	if prefix != "" {
		tag, queues = "{"+prefix+"}:", [2]string{"asynq:{" + prefix + "-flows}:*", "asynq:{" + prefix + "-broadcasts}:*"}
	}
	everyone := []Rule{
		{"reset", "nothing, to begin with"},
		{"+auth +hello +ping +info +select +client|setname", "connecting, and learning which Redis it is"},
		{"+eval +evalsha", "scripts; what they do is checked by the same rules"},
		{"~" + queues[0] + " ~" + queues[1] + " ~asynq:queues", "tasks"},
	}
	gate := []Rule{
		{"(~" + tag + "* +eval +evalsha +get +mget +hget +hmget)", "looking at facts"},
		{"(~" + tag + "r:* +set)", "taking slots of a sender's rate"},
	}
	switch r {
	case Scheduler:
		return join(everyone, gate, []Rule{
			{"+time", "Redis' own clock"},
			{"(~" + tag + "* +eval +evalsha +set +hset +hdel +del +unlink)", "projecting facts"},
			{"+scan", "finding what another projection left; it tells the names of all keys"},
			{"+sadd +exists +hset +lpush", "queueing"},
			{"(~asynq:servers* ~asynq:workers* +eval +evalsha +zrangebyscore +zremrangebyscore +get +hvals)", "counting the workers"},
		})
	case Worker:
		return join(everyone, gate, []Rule{
			{"+time", "Redis' own clock"},
			{"~asynq:servers* ~asynq:workers* &asynq:cancel +subscribe +unsubscribe", "being one of the queue's workers"},
			{"+del +exists +expire +expireat +get +hdel +hget +hset +incr +lpush +lrem +publish +rpoplpush +rpush +sadd +set +setex +smembers +srem +zadd +zcard +zrange +zrangebyscore +zrem +zremrangebyrank +zremrangebyscore", "taking tasks, and giving back what could not be done"},
		})
	case Reader, Restorer: // a person has no business in Redis, which holds no truth
	}
	return nil
}
