package engine

import (
	"context"
	"fmt"
	"log/slog"
)

// redisLog takes the client library's own log, which would go to stderr in a
// form of its own. Everything in it also comes back as some command's error,
// hence debug.
type redisLog struct{ log *slog.Logger }

// Printf logs at debug level.
func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	if l.log.Enabled(ctx, slog.LevelDebug) {
		l.log.DebugContext(ctx, oneLine(fmt.Sprintf(format, v...)))
	}
}
