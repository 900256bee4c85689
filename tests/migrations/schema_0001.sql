-- A database of the first schema (0001) with one study, dumped with `.dump`. Frozen: never made again.
BEGIN TRANSACTION;
CREATE TABLE ao_attempts (
	id INTEGER NOT NULL,
	study_id INTEGER NOT NULL,
	number INTEGER NOT NULL,
	attempt INTEGER NOT NULL,
	token TEXT NOT NULL,
	slot_index INTEGER NOT NULL,
	state TEXT NOT NULL,
	reason TEXT NOT NULL,
	message TEXT NOT NULL,
	detail TEXT NOT NULL,
	started_at TEXT NOT NULL,
	finished_at TEXT,
	seconds FLOAT,
	PRIMARY KEY (id),
	FOREIGN KEY(study_id, number) REFERENCES ao_trials (study_id, number),
	CONSTRAINT ao_attempts_order UNIQUE (study_id, number, attempt),
	UNIQUE (token)
);
INSERT INTO "ao_attempts" VALUES(1,1,0,0,'token0',0,'done','','','','2026-11-01T10:00:00+00:00',NULL,NULL);
INSERT INTO "ao_attempts" VALUES(2,1,1,0,'token1',0,'failed','','','','2026-11-01T10:00:00+00:00',NULL,NULL);
INSERT INTO "ao_attempts" VALUES(3,1,3,0,'token3',0,'running','','','','2026-11-01T10:00:00+00:00',NULL,NULL);
CREATE TABLE ao_exports (
	id INTEGER NOT NULL,
	study_id INTEGER NOT NULL,
	number INTEGER NOT NULL,
	role TEXT NOT NULL,
	path TEXT NOT NULL,
	sha256 TEXT NOT NULL,
	test_value FLOAT,
	test_low FLOAT,
	test_high FLOAT,
	created_at TEXT NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(study_id, number) REFERENCES ao_trials (study_id, number)
);
INSERT INTO "ao_exports" VALUES(1,1,0,'float','bundle/model.onnx','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc',0.9,0.88,0.92,'2026-11-01T10:00:00+00:00');
CREATE TABLE ao_measures (
	id INTEGER NOT NULL,
	study_id INTEGER NOT NULL,
	number INTEGER NOT NULL,
	pass_name TEXT NOT NULL,
	name TEXT NOT NULL,
	value FLOAT NOT NULL,
	low FLOAT,
	high FLOAT,
	provisional BOOLEAN NOT NULL,
	taken_at TEXT NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(study_id, number) REFERENCES ao_trials (study_id, number)
);
INSERT INTO "ao_measures" VALUES(1,1,0,'search','quality',0.91,0.9,0.92,0,'2026-11-01T10:00:00+00:00');
CREATE TABLE ao_outbox (
	id INTEGER NOT NULL,
	study_id INTEGER NOT NULL,
	payload TEXT NOT NULL,
	created_at TEXT NOT NULL,
	delivered_at TEXT,
	PRIMARY KEY (id),
	FOREIGN KEY(study_id) REFERENCES ao_studies (id)
);
INSERT INTO "ao_outbox" VALUES(1,1,'{"n": 0}','2026-11-01T10:00:00+00:00','2026-11-01T10:00:00+00:00');
INSERT INTO "ao_outbox" VALUES(2,1,'{"n": 1}','2026-11-01T10:00:00+00:00',NULL);
CREATE TABLE ao_steps (
	id INTEGER NOT NULL,
	attempt_id INTEGER NOT NULL,
	step INTEGER NOT NULL,
	name TEXT NOT NULL,
	value FLOAT,
	PRIMARY KEY (id),
	FOREIGN KEY(attempt_id) REFERENCES ao_attempts (id)
);
INSERT INTO "ao_steps" VALUES(1,1,1,'loss',0.5);
CREATE TABLE ao_studies (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	name TEXT NOT NULL,
	spec TEXT NOT NULL,
	state TEXT NOT NULL,
	note TEXT NOT NULL,
	budget_seconds FLOAT,
	budget_trials INTEGER,
	spent_s FLOAT NOT NULL,
	epoch INTEGER NOT NULL,
	owner_pid INTEGER,
	owner_host TEXT,
	last_write TEXT NOT NULL,
	created_at TEXT NOT NULL,
	UNIQUE (name)
);
INSERT INTO "ao_studies" VALUES(1,'old','{"target": "income"}','open','',300.0,NULL,12.5,3,NULL,NULL,'m','2026-11-01T10:00:00+00:00');
CREATE TABLE ao_trials (
	study_id INTEGER NOT NULL,
	number INTEGER NOT NULL,
	recipe TEXT NOT NULL,
	recipe_sha256 TEXT NOT NULL,
	source TEXT NOT NULL,
	state TEXT NOT NULL,
	reason TEXT NOT NULL,
	message TEXT NOT NULL,
	artifact_key TEXT NOT NULL,
	artifact_sha256 TEXT NOT NULL,
	stages TEXT NOT NULL,
	notes TEXT NOT NULL,
	duplicate_of INTEGER,
	created_at TEXT NOT NULL,
	finished_at TEXT,
	seconds FLOAT,
	PRIMARY KEY (study_id, number),
	FOREIGN KEY(study_id) REFERENCES ao_studies (id)
);
INSERT INTO "ao_trials" VALUES(1,0,'{"model": "lightgbm"}','0000000000000000000000000000000000000000000000000000000000000000','planner','complete','','','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','','[]','["a note"]',NULL,'2026-11-01T10:00:00+00:00','2026-11-01T10:00:00+00:00',2.5);
INSERT INTO "ao_trials" VALUES(1,1,'{"model": "lightgbm"}','1111111111111111111111111111111111111111111111111111111111111111','planner','failed','hung','','','','[]','["a note"]',NULL,'2026-11-01T10:00:00+00:00','2026-11-01T10:00:00+00:00',2.5);
INSERT INTO "ao_trials" VALUES(1,2,'{"model": "lightgbm"}','2222222222222222222222222222222222222222222222222222222222222222','planner','duplicate','','','','','[]','["a note"]',0,'2026-11-01T10:00:00+00:00','2026-11-01T10:00:00+00:00',2.5);
INSERT INTO "ao_trials" VALUES(1,3,'{"model": "lightgbm"}','3333333333333333333333333333333333333333333333333333333333333333','planner','running','','','','','[]','["a note"]',NULL,'2026-11-01T10:00:00+00:00',NULL,NULL);
CREATE TABLE autoopt_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT autoopt_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "autoopt_version" VALUES('0001');
CREATE INDEX ao_trials_state ON ao_trials (study_id, state);
CREATE INDEX ao_attempts_state ON ao_attempts (study_id, state);
CREATE INDEX ao_steps_attempt ON ao_steps (attempt_id);
CREATE INDEX ao_measures_trial ON ao_measures (study_id, number);
CREATE INDEX ao_exports_trial ON ao_exports (study_id, number);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('ao_studies',1);
COMMIT;
