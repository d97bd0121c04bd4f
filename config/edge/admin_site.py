"""The admin site: Django's own, under our name, for every person of an organization."""

from django.contrib.admin import AdminSite


class Site(AdminSite):
    site_header = "Tokenhouse"
    site_title = "Tokenhouse"
    index_title = "Home"
    enable_nav_sidebar = True
    final_catch_all_view = True
