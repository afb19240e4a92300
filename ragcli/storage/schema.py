"""The tables of the catalog, as steps from one format to the next. A step, once released, never changes."""

from __future__ import annotations

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE documents (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        collection TEXT NOT NULL,
        root BLOB NOT NULL,
        path BLOB NOT NULL,
        source TEXT NOT NULL,
        format TEXT NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        hash TEXT NOT NULL,
        title TEXT NOT NULL,
        pages INTEGER,
        text TEXT NOT NULL,
        blocks BLOB NOT NULL,
        warnings TEXT NOT NULL,
        read_at INTEGER NOT NULL,
        UNIQUE (collection, path),
        UNIQUE (collection, source)
    );
    CREATE TABLE chunks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        chunk_id TEXT NOT NULL UNIQUE,
        document INTEGER NOT NULL REFERENCES documents (id),
        start INTEGER NOT NULL,
        end INTEGER NOT NULL,
        page INTEGER,
        line INTEGER,
        width INTEGER NOT NULL,
        heading TEXT NOT NULL,
        context TEXT NOT NULL,
        vector BLOB
    );
    CREATE INDEX chunks_document ON chunks (document);
    CREATE INDEX chunks_vector ON chunks (vector);
    CREATE TABLE vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL);
    CREATE TABLE pending (key BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE VIRTUAL TABLE words USING fts5 (
        body, tokenize = "unicode61 remove_diacritics 0 categories 'L* M* N* P* S* Co'"
    );
    CREATE VIRTUAL TABLE postings USING fts5vocab (words, instance);
    CREATE TABLE failures (
        collection TEXT NOT NULL,
        path BLOB NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (collection, path)
    ) WITHOUT ROWID;
    """,
    # Labels of pages, the version of the parser that read a file, what a failure is remembered by, and the context
    # that a vector was made with before its file was renamed.
    """
    ALTER TABLE documents ADD COLUMN labels TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE documents ADD COLUMN parser INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE failures ADD COLUMN hash TEXT NOT NULL DEFAULT '';
    ALTER TABLE failures ADD COLUMN parser INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE chunks ADD COLUMN encoded TEXT;
    """,
)
FORMAT = len(MIGRATIONS)
