"""Every setting, read from the environment and from <data folder>/settings.env.

In the order of Django's own reference. `docs/settings.md` is generated from the table in `config/environment.py`;
combinations that would be unsafe are numbered system checks in `config/checks.py`.
"""

from config.environment import REPOSITORY, env, redis_databases

DATA = env.path("TOKENHOUSE_DATA")

# Core
DEBUG = env.flag("DEBUG")
SECRET_KEY = env.text("SECRET_KEY")
PUBLIC_URL = env.text("PUBLIC_URL").rstrip("/")
BIND = env.text("BIND")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS") or env.hosts_of(PUBLIC_URL)
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024  # bytes: the contract's limit for a request's body
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-gb"
USE_I18N = False
DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = "Y-m-d H:i"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "config.edge.apps.EdgeAdminConfig",  # django.contrib.admin with our AdminSite
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "auditlog",
    "csp",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "config.edge",
    "audit",
    "fleets",
    "approvals",
    "tokens",
]

MIDDLEWARE = [
    "config.edge.middleware.RequestContextMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "config.edge.middleware.BodyLimitMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "fleets.middleware.PersonAccessMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [REPOSITORY / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Databases
DATABASES = {"default": env.database(DATA)}

# Redis: Django's cache alone in the first (`cache.clear()` is FLUSHDB), versions and counters in the second,
# Celery's broker in the third.
REDIS = redis_databases(env)
REDIS_TIMEOUT = 0.25  # seconds, for connecting and for each answer
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS.cache,
        "OPTIONS": {"socket_timeout": REDIS_TIMEOUT, "socket_connect_timeout": REDIS_TIMEOUT},
    }
}

# Celery
CELERY_BROKER_URL = REDIS.celery_broker
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False  # what is printed is mail, where EMAIL_URL sends it there
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1  # what waits, waits in the broker, where another worker finds it
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 10.0  # seconds for what runs when a worker must go,
CELERY_WORKER_ENABLE_SOFT_SHUTDOWN_ON_IDLE = True  # and what waits for its time goes back to the broker
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # seconds: longer than an emergency window, the task of whose end waits unacknowledged
    "visibility_timeout": 10 * 3600,
    "socket_timeout": 1.0,
    "socket_connect_timeout": 1.0,
    "max_retries": 0,
}

# Security
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
HTTPS = PUBLIC_URL.startswith("https://")
CSRF_COOKIE_SECURE = HTTPS
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "config.edge.problems.csrf_failure"
SESSION_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600  # seconds
SECURE_SSL_REDIRECT = False  # the proxy in front redirects; see docs/security.md
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
TRUSTED_PROXIES = env.words("TRUSTED_PROXIES")  # networks whose X-Forwarded-For is read; none by default
OUTGOING_NETWORKS = env.words("OUTGOING_NETWORKS")  # internal ones that webhooks may reach; none by default
LIMITS = {  # what one address may do, each (count, seconds): config/edge/throttling.py
    "sign_in": env.rate("LIMIT_SIGN_IN"),
    "credentials": env.rate("LIMIT_CREDENTIALS"),
    "links": env.rate("LIMIT_LINKS"),
    "api": env.rate("LIMIT_API"),
}
METRICS_NETWORKS = env.words("METRICS_NETWORKS")
PEPPERS = env.peppers("TOKENHOUSE_PEPPERS")  # {number: key}; the highest number digests new secrets

# Mail
vars().update(env.email("EMAIL_URL"))  # EMAIL_BACKEND, EMAIL_HOST and what else the address says
EMAIL_TIMEOUT = 10  # seconds
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("EMAIL_FROM")

# Sign-in
AUTH_USER_MODEL = "fleets.User"
AUTHENTICATION_BACKENDS = ["fleets.sign_in.PersonBackend"]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
PASSWORD_RESET_TIMEOUT = 3600  # seconds
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# Field diffs: audit/diffs.py fills in who and in which request; auditlog's middleware is left out
AUDITLOG_STORE_JSON_CHANGES = True

# Static files
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

# REST framework
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tokens.authentication.TokenAuthentication",
        "fleets.sign_in.BrowserSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["config.edge.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["config.edge.parsing.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "config.edge.negotiation.AlwaysJSON",
    "DEFAULT_PAGINATION_CLASS": "config.edge.pagination.Cursor",
    "DEFAULT_FILTER_BACKENDS": ["config.edge.filtering.StrictFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "config.edge.operations.Operation",
    "EXCEPTION_HANDLER": "config.edge.problems.exception_handler",
    "URL_FORMAT_OVERRIDE": None,
    "NUM_PROXIES": 0,
    "UNAUTHENTICATED_USER": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Tokenhouse",
    "DESCRIPTION": "Issues, checks and governs an organization's API tokens.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "SORT_OPERATIONS": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.edge.operations.with_promises",
    ],
    "ENUM_NAME_OVERRIDES": {
        "ApplicationRole": "fleets.models.ApplicationMembership.Role",
        "ApprovalStatus": "approvals.models.ApprovalRequest.Status",
        "AuditAction": "audit.actions.Action",
        "BuiltInRole": "fleets.api.serializers.BUILT_IN_ROLES",
        "FleetRole": "fleets.models.FleetMembership.Role",
        "GroupRole": "fleets.models.GroupMembership.Role",
        "MachineActionName": "fleets.models.MachineAction.Action",
        "MachineKind": "fleets.models.Machine.Kind",
        "OrganizationRole": "fleets.models.Membership.Role",
        "RiskEnum": "fleets.api.policy_schema.RISKS",
        "TokenKind": "tokens.models.Token.Kind",
        "TokenStatus": "tokens.api.schema.STATUSES",
    },
}

# Logging: one JSON object a line on stderr, secrets scrubbed, never the audit trail.
LOGGING_CONFIG = "config.logs.configure"
LOGGING = {"level": env.level("LOG_LEVEL")}

SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # HSTS for subdomains, and
    "security.W021",  # its preload list: for the operator's proxy to promise, other hosts live there too
    "auth.W004",  # usernames are unique without case, by a constraint on Lower("username")
    "security.W008",  # SECURE_SSL_REDIRECT: the proxy's task, so that health checks may use plain HTTP
]
